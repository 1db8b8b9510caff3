// What a worker keeps of one connection, and the table it keeps them in.
import Core
import Linux

/// Where bytes lie that one direction holds between two turns.
struct Lane: ~Copyable {
  var stash: UnsafeMutableRawPointer?
  var pipe = Pipe.none

  var hasPipe: Bool { pipe.output.number >= 0 }
  var isEmpty: Bool { stash == nil && !hasPipe }

  mutating func takePipe() -> Pipe {
    var taken = Pipe.none
    swap(&taken, &pipe)
    return taken
  }

  mutating func freeStash() {
    if let stash { free(stash) }
    stash = nil
  }
}

/// What few connections have at a time.
final class Aside {
  var toUpstream = Lane()
  var toClient = Lane()
  /// When one end has failed: how long the other may take what is held for it. When the target's
  /// name has changed: when to reset both.
  var patienceEnds = Instant.never
  /// How often it was asked whether all has been delivered.
  var deliveryChecks: UInt8 = 0
  /// When to ask again: whatever else happens before is no reason to ask later.
  var checksDeliveryAt = Instant.never
  /// The user timeout is off, because the window was closed: PeerWatch.swift.
  var isClientLifted = false
  var isUpstreamLifted = false

  /// Doubles from 1 ms to 256 ms: acknowledgements are mostly one round trip away.
  func nextDeliveryCheck(_ now: Instant) -> Instant {
    if checksDeliveryAt <= now || checksDeliveryAt == .never {
      checksDeliveryAt = now + .milliseconds(1 << Int64(deliveryChecks))
      deliveryChecks = min(deliveryChecks + 1, 8)
    }
    return checksDeliveryAt
  }

  var isEmpty: Bool {
    toUpstream.isEmpty && toClient.isEmpty && patienceEnds == .never && deliveryChecks == 0
      && !isClientLifted && !isUpstreamLifted
  }
}

/// Ordered so that small fields fill the gaps between large ones: an idle connection costs this
/// much.
struct Connection: ~Copyable {
  enum Phase {
    /// Nothing done yet.
    case accepted
    /// Watched: its first byte, its end or the end of the grace decides.
    case met
    /// On the way to the target, as `dialing` says.
    case dialing
    case relaying
  }

  let id: UInt64
  let accepted: Instant
  var lastMoved: Instant
  /// While dialing.
  var dialing: Dialing?
  var aside: Aside?
  let clientEndpoint: Endpoint
  let forward: UInt16
  /// Who comes after it in the queue of those that have something to do, when it is there itself.
  var nextQueued: UInt32 = 0
  /// While relaying.
  var upstreamAddress = IPAddress(high: 0, low: 0)
  var client: Socket
  var upstream = Socket(owning: -1)
  var relay = Relay()
  /// From accepting to the target's answer, in microseconds; up to an hour.
  var connectMicroseconds: UInt32 = 0
  var phase = Phase.accepted
  var isQueued = false
  /// Told when it takes bytes again: from the first time on that it did not.
  var isClientWatchedFully = false
  var isUpstreamWatchedFully = false
  /// Keepalive, and whatever else a short connection is spared: ConnectionTimers.swift.
  var isUpstreamSetUp = false
  /// The first bytes are sent at once in any case (Nagle's algorithm): it is off for those after.
  var sendsUpstreamAtOnce = false
  /// Counts when clients are spread over the workers.
  var isLoad = true
  /// Leads to an address that the target's name has no more.
  var isRetired = false

  init(_ accepted: Accepted, id: UInt64, forward: UInt16, now: Instant) {
    client = Socket(owning: accepted.number)
    clientEndpoint = Endpoint(accepted.peer)
    self.id = id
    self.forward = forward
    self.accepted = now
    lastMoved = now
  }

  mutating func note(_ readiness: Readiness, of end: End) {
    guard readiness != .readable else { return relay.noteReadable(end) }
    relay.note(
      end, readable: readiness.isReadable, writable: readiness.isWritable,
      ended: readiness.hasEnded, urgent: readiness.isUrgent, error: readiness.hasError)
  }

  /// Made when it is needed, given up when it is empty.
  mutating func withAside<Result>(_ body: (Aside) -> Result) -> Result {
    let aside = aside ?? Aside()
    let result = body(aside)
    self.aside = aside.isEmpty ? nil : aside
    return result
  }

  /// The lane for what comes from `source`.
  mutating func withLane<Result>(_ source: End, _ body: (inout Lane) -> Result) -> Result {
    withAside { source == .client ? body(&$0.toUpstream) : body(&$0.toClient) }
  }

  var patienceEnds: Instant { aside?.patienceEnds ?? .never }
}

/// Connections by slot, in blocks that never move. A slot's generation tells an event that is meant
/// for an earlier connection; it is odd while the slot is in use.
struct ConnectionTable: ~Copyable {
  /// Large enough to be mapped: what no connection has used yet costs no memory.
  private static let blockSize = 1024

  private var blocks: [UnsafeMutablePointer<Connection>] = []
  private var generations: [UInt32] = []
  private var freeSlots: [UInt32] = []

  /// Slots that were ever used.
  var slots: Int { generations.count }

  @inline(__always)
  func pointer(_ slot: UInt32) -> UnsafeMutablePointer<Connection> {
    blocks[Int(slot) / Self.blockSize] + Int(slot) % Self.blockSize
  }

  func generation(_ slot: UInt32) -> UInt32 { generations[Int(slot)] }

  /// The connection in this slot; nil when it is free, or another than the one meant.
  @inline(__always)
  func find(_ slot: UInt32, generation: UInt32) -> UnsafeMutablePointer<Connection>? {
    guard Int(slot) < slots, generations[Int(slot)] == generation else { return nil }
    return pointer(slot)
  }

  func isInUse(_ slot: UInt32) -> Bool { generations[Int(slot)] & 1 == 1 }

  mutating func insert(_ connection: consuming Connection) -> UInt32 {
    let slot: UInt32
    if let free = freeSlots.popLast() {
      slot = free
    } else {
      slot = UInt32(generations.count)
      if Int(slot) % Self.blockSize == 0 { blocks.append(.allocate(capacity: Self.blockSize)) }
      generations.append(0)
    }
    generations[Int(slot)] += 1
    pointer(slot).initialize(to: connection)
    return slot
  }

  /// Ends the connection's life: its sockets and pipes are closed.
  mutating func remove(_ slot: UInt32) {
    let connection = pointer(slot)
    Socket.close(connection.pointee.client.take(), connection.pointee.upstream.take())
    connection.deinitialize(count: 1)
    generations[Int(slot)] = (generations[Int(slot)] &+ 1) & Token.generationMask
    freeSlots.append(slot)
  }
}
