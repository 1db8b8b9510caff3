// Two sockets and their pipes as a few integers: what a kernel does, with its awkward sides.
// Bytes are positions in their stream, so that a lost, doubled or swapped byte shows at once.
import Core

struct SimulationFailure: Error { let text: String }

/// One socket of the forwarder: what its peer sends, and how much the peer takes.
struct SimulatedSocket {
  // From the peer.
  var planned: Int
  var endsByReset: Bool
  var segments: [Int] = []
  /// Where an urgent mark lies: a splice stops before it, a recv comes out short.
  var urgentAt: Int?
  var arrived = 0
  var read = 0
  var finArrived = false
  var resetArrived = false
  var errorTaken = false
  // To the peer.
  var room: Int
  var unacknowledged = 0
  var written = 0
  var finSent = false
  var wantsRoom = false
  // Edges that were not told yet.
  var pending = Edges(writable: true)

  struct Edges: Equatable {
    var readable = false
    var writable = false
    var ended = false
    var urgent = false
    var error = false
  }

  var available: Int { arrived - read }
  var peerIsDone: Bool { finArrived || resetArrived }

  // MARK: What the network does

  mutating func arrive(_ count: Int) {
    segments.append(count)
    arrived += count
    pending.readable = true
    if let urgentAt, urgentAt >= arrived - count, urgentAt < arrived { pending.urgent = true }
  }

  mutating func end() {
    pending.readable = true
    pending.ended = true
    if endsByReset {
      resetArrived = true
      pending.error = true
      pending.writable = true
    } else {
      finArrived = true
    }
  }

  mutating func acknowledge(_ count: Int) {
    unacknowledged -= count
    room += count
    if wantsRoom {
      wantsRoom = false
      pending.writable = true
    }
  }

  // MARK: Calls

  /// What a reader gets when no byte is there.
  private mutating func nothing() -> SimulatedResult {
    if resetArrived {
      if errorTaken { return .ended }
      errorTaken = true
      return .failed
    }
    return finArrived ? .ended : .wouldBlock
  }

  private var beforeMark: Int {
    guard let urgentAt, urgentAt > read, urgentAt < arrived else { return available }
    return urgentAt - read
  }

  mutating func receive(_ limit: Int) -> SimulatedResult {
    guard available > 0 else { return nothing() }
    let count = min(limit, beforeMark)
    take(count)
    return .moved(count)
  }

  /// A splice into a pipe that has `slots` free: each segment, or part of one, takes a slot.
  mutating func fill(_ limit: Int, slots: Int, urgentReadsNothing: Bool) -> SimulatedResult {
    guard available > 0 else { return nothing() }
    if urgentAt == read { return urgentReadsNothing ? .ended : .wouldBlock }
    var (moved, used) = (0, 0)
    while used < slots, moved < min(limit, beforeMark), let next = segments.first {
      let count = min(next, min(limit, beforeMark) - moved)
      moved += count
      used += 1
      take(count, counted: false)
    }
    read += moved
    return moved > 0 ? .moved(moved) : .wouldBlock
  }

  private mutating func take(_ count: Int, counted: Bool = true) {
    var rest = count
    while rest > 0 {
      let part = min(rest, segments[0])
      segments[0] -= part
      rest -= part
      if segments[0] == 0 { segments.removeFirst() }
    }
    if counted { read += count }
  }

  mutating func send(_ count: Int) -> SimulatedResult {
    if resetArrived {
      errorTaken = true
      return .failed
    }
    let taken = min(count, room)
    if taken < count { wantsRoom = true }
    guard taken > 0 else { return .wouldBlock }
    room -= taken
    unacknowledged += taken
    written += taken
    return .moved(taken)
  }
}

enum SimulatedResult: Equatable {
  case moved(Int)
  case ended, wouldBlock, failed
}
