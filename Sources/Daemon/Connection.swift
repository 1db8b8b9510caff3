// What a worker keeps of one connection, and the table it keeps them in.
import Core
import Linux

/// Where bytes lie that one direction holds between two turns.
struct Lane: ~Copyable {
  var stash: UnsafeMutableRawPointer?
  var pipe = Pipe.none

  var hasPipe: Bool { pipe.output.number >= 0 }

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

  enum Sending: UInt8 { case untried, tried, atOnce }

  let id: UInt64
  let accepted: Instant
  var lastMoved: Instant
  let clientEndpoint: Endpoint
  let forward: UInt16
  /// Who comes after it in the queue of those that have something to do, when it is there itself.
  var nextQueued: UInt32 = 0
  var upstreamEndpoint: Endpoint?
  var isQueued = false
  var phase = Phase.accepted
  var hasTimer = false
  var deliveryChecks: UInt8 = 0
  var client: Socket
  var upstream = Socket(owning: -1)

  // While dialing.
  var dialing: Dialing?
  var clientHints = Readiness(bits: 0)
  var upstreamHints = Readiness(bits: 0)

  // While relaying.
  var relay = Relay()
  var toUpstream = Lane()
  var toClient = Lane()
  /// From accepting to the target's answer, in microseconds; up to an hour.
  var connectMicroseconds: UInt32 = 0
  /// The user timeout is off, because the window was closed: PeerWatch.swift.
  var isClientLifted = false
  var isUpstreamLifted = false
  /// Told when it takes bytes again: from the first time on that it did not.
  var isClientWatchedFully = false
  var isUpstreamWatchedFully = false
  /// Keepalive, and whatever else a short connection is spared: ConnectionTimers.swift.
  var isUpstreamSetUp = false
  /// The first bytes are sent at once in any case (Nagle's algorithm): it is turned off with the
  /// next.
  var upstreamSending = Sending.untried
  /// Counts when clients are spread over the workers.
  var isLoad = true
  /// Leads to an address that the target's name has no more.
  var isRetired = false
  /// When one end has failed: how long the other may take what is held for it. When the target's
  /// name has changed: when to reset both.
  var patienceEnds = Instant.never

  init(
    client: consuming Socket, id: UInt64, endpoint: Endpoint, forward: UInt16, now: Instant
  ) {
    self.client = client
    self.id = id
    clientEndpoint = endpoint
    self.forward = forward
    accepted = now
    lastMoved = now
  }

  mutating func note(_ readiness: Readiness, of end: End) {
    relay.note(
      end, readable: readiness.isReadable, writable: readiness.isWritable,
      ended: readiness.hasEnded, urgent: readiness.isUrgent, error: readiness.hasError)
  }
}

/// Connections by slot, in blocks that never move. A slot's generation tells an event that is meant
/// for an earlier connection.
struct ConnectionTable: ~Copyable {
  private static let blockSize = 32

  private var blocks: [UnsafeMutablePointer<Connection>] = []
  private var generations: [UInt32] = []
  private var isUsed: [Bool] = []
  private var freeSlots: [UInt32] = []

  /// Slots that were ever used.
  var slots: Int { generations.count }

  func pointer(_ slot: UInt32) -> UnsafeMutablePointer<Connection> {
    blocks[Int(slot) / Self.blockSize] + Int(slot) % Self.blockSize
  }

  func generation(_ slot: UInt32) -> UInt32 { generations[Int(slot)] }

  /// The connection in this slot; nil when it is free, or another than the one meant.
  func find(_ slot: UInt32, generation: UInt32) -> UnsafeMutablePointer<Connection>? {
    guard Int(slot) < slots, isUsed[Int(slot)], generations[Int(slot)] == generation else {
      return nil
    }
    return pointer(slot)
  }

  func isInUse(_ slot: UInt32) -> Bool { isUsed[Int(slot)] }

  mutating func insert(_ connection: consuming Connection) -> UInt32 {
    let slot: UInt32
    if let free = freeSlots.popLast() {
      slot = free
    } else {
      slot = UInt32(generations.count)
      if Int(slot) % Self.blockSize == 0 { blocks.append(.allocate(capacity: Self.blockSize)) }
      generations.append(0)
      isUsed.append(false)
    }
    pointer(slot).initialize(to: connection)
    isUsed[Int(slot)] = true
    return slot
  }

  /// Ends the connection's life: its sockets and pipes are closed.
  mutating func remove(_ slot: UInt32) {
    let connection = pointer(slot)
    Socket.close(connection.pointee.client.take(), connection.pointee.upstream.take())
    connection.deinitialize(count: 1)
    isUsed[Int(slot)] = false
    generations[Int(slot)] = (generations[Int(slot)] &+ 1) & Token.generationMask
    freeSlots.append(slot)
  }
}
