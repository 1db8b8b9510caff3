// What the threads share: settings that never change, and atomics.
import Core
import Linux
import Synchronization

/// A port that is listened on. The workers accept from it, the supervisor closes it.
final class Listener: @unchecked Sendable {
  let socket: Socket
  let forward: UInt16

  init(_ socket: consuming Socket, forward: UInt16) {
    self.socket = socket
    self.forward = forward
  }
}

/// The part of a worker that other threads may touch.
final class WorkerDoor: @unchecked Sendable {
  let poller: Poller
  let wake: EventCounter
  let log = LogRing()
  let counters: Counters
  let census = Census()
  /// Pipes that this worker has, lent or free.
  let pipes = Atomic<Int>(0)
  /// Connections of this worker, those on their way to it included, whose clients have not ended.
  let load = Atomic<Int>(0)

  init(forwards: Int) throws(Errno) {
    counters = Counters(forwards: forwards)
    poller = try Poller()
    wake = try EventCounter(blocking: false)
    try watch(
      wake.descriptor.number, with: poller.number, for: .reading, token: Token.wake.bits)
  }
}

/// What the supervisor asks of the workers.
enum Phase: UInt8, AtomicRepresentable {
  case serving
  /// During DRAIN_DELAY: go on, but what is sent must have arrived before the process ends.
  case delaying
  /// Accept who waits already, and no more.
  case draining
  case cutAfterDrainTimeout
  case cutAfterSecondSignal

  /// Why every connection is to be ended; nil while they are not.
  var cutReason: EndReason? {
    switch self {
    case .serving, .delaying, .draining: nil
    case .cutAfterDrainTimeout: .drainTimeout
    case .cutAfterSecondSignal: .secondSignal
    }
  }
}

final class Shared: @unchecked Sendable {
  let settings: Settings
  let limits: Limits
  let doors: [WorkerDoor]
  let names: NameBoard
  let writer: LogWriter
  /// Signalled when the last connection has ended or a worker has left the listeners.
  let supervisorWake: EventCounter
  let phase = Atomic<Phase>(.serving)
  /// Workers that do not accept any more.
  let closedDoors = Atomic<Int>(0)
  /// Connections of all workers, and places that are being taken.
  let open = Atomic<Int>(0)
  /// Workers that wait for a place to be free, a bit each.
  let waitingForPlace = Atomic<UInt64>(0)
  private let lastID = Atomic<UInt64>(0)
  /// When the churn hint may be said again.
  let saysChurnAgain = Atomic<Int64>(.min)
  /// Written before the workers start, and emptied after all of them have left.
  nonisolated(unsafe) var listeners: [Listener] = []

  init(settings: Settings, limits: Limits, supervisorLog: LogRing) throws(Errno) {
    self.settings = settings
    self.limits = limits
    var doors: [WorkerDoor] = []
    if settings.mode == .proxy {
      for _ in 0..<limits.workers {
        doors.append(try WorkerDoor(forwards: settings.forwards.count))
      }
    }
    self.doors = doors
    names = NameBoard(settings)
    writer = try LogWriter(
      doors: doors, supervisor: supervisorLog, format: settings.logFormat)
    supervisorWake = try EventCounter(blocking: false)
  }

  func nextID() -> UInt64 { lastID.add(1, ordering: .relaxed).newValue }

  /// Takes one of the places below MAX_CONNECTIONS.
  func reservePlace() -> Bool {
    if open.add(1, ordering: .relaxed).newValue <= limits.connections { return true }
    open.subtract(1, ordering: .sequentiallyConsistent)
    return false
  }

  /// Gives a place back, and wakes those who wait for one: who frees it may not be who waits.
  /// How many are left.
  @discardableResult
  func releasePlace() -> Int {
    let left = open.subtract(1, ordering: .sequentiallyConsistent).newValue
    if waitingForPlace.load(ordering: .sequentiallyConsistent) != 0 {
      let waiting = waitingForPlace.exchange(0, ordering: .sequentiallyConsistent)
      for index in doors.indices where waiting >> UInt64(index) & 1 == 1 {
        doors[index].wake.signal()
      }
    }
    return left
  }

  /// Says that this worker is to be woken by the next place that is given back. True when one is
  /// free already.
  func awaitPlace(_ worker: Int) -> Bool {
    waitingForPlace.bitwiseOr(1 << UInt64(worker), ordering: .sequentiallyConsistent)
    return open.load(ordering: .sequentiallyConsistent) < limits.connections
  }

  /// Whether a connection to `endpoint`, if that is on this machine, would come back to this
  /// process, and so on without end.
  func listens(on endpoint: Endpoint) -> Bool {
    let listens = settings.listenAddress.map { $0.isUnspecified || $0 == endpoint.address } ?? true
    return listens && settings.forwards.contains { $0.listenPort == endpoint.port }
  }

  /// The worker with the fewest connections; `own` when no other has fewer.
  func leastLoaded(own: Int) -> Int {
    var least = own
    var fewest = doors[own].load.load(ordering: .relaxed)
    for index in doors.indices {
      let load = doors[index].load.load(ordering: .relaxed)
      if load < fewest { (least, fewest) = (index, load) }
    }
    return least
  }
}
