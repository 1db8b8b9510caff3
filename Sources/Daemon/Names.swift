// The addresses behind the targets, as one worker sees them: literal ones, and a copy of what the
// resolver last wrote. Never waits: a connection that needs a new answer is woken by it.
import Core
import Synchronization

struct Names {
  enum Verdict {
    /// In the order to try them in. `startedAt` is when the lookup for them began; `.never` for
    /// addresses that are never looked up.
    case addresses([IPAddress], startedAt: Instant)
    case failed(Failure, startedAt: Instant)
    /// The resolver has been asked; the worker will be woken.
    case awaited
  }

  private struct Known {
    var version: UInt64 = .max
    var answer = NameAnswer()
    var rotation = 0
    var retirements: UInt32 = 0
  }

  private let worker: Int
  private let board: NameBoard
  private let forwards: [Forward]
  private var known: [Known]
  var penalties = AddressPenalties()
  /// A connection waits for the resolver.
  private(set) var isAwaited = false
  /// The resolver is to be woken: once for all that was asked in a turn of the worker's loop.
  private(set) var hasDemands = false

  init(worker: Int, board: NameBoard, forwards: [Forward]) {
    self.worker = worker
    self.board = board
    self.forwards = forwards
    known = Array(repeating: Known(), count: board.cells.count)
  }

  /// What to connect to for a client of this forward. With `since`, only from a lookup that began
  /// then or later.
  mutating func addresses(ofForward forward: Int, since: Instant?, now: Instant) -> Verdict {
    guard let index = board.cell(ofForward: forward) else {
      return .addresses(literal(forwards[forward].target), startedAt: .never)
    }
    let cell = board.cells[index]
    refresh(index, cell)
    let answer = known[index].answer
    guard answer.isUsable(now: now), since.map({ $0 <= answer.startedAt }) ?? true else {
      demand(cell, since ?? now - Self.second)
      isAwaited = true
      return .awaited
    }
    // A stale answer is usable after its time: then the servers are to be tried again.
    if answer.freshUntil <= now { demand(cell, now - Self.second) }
    if let failure = answer.failure { return .failed(failure, startedAt: answer.startedAt) }
    if !cell.isUsed.load(ordering: .relaxed) { cell.isUsed.store(true, ordering: .relaxed) }
    let ordered = raceOrder(
      answer.addresses, isListed: answer.isListed, rotation: known[index].rotation,
      penalties: penalties, now: now)
    known[index].rotation = (known[index].rotation + 1) & 0xffff
    return .addresses(ordered, startedAt: answer.startedAt)
  }

  private static let second = Nanoseconds.seconds(1)

  private func literal(_ target: Target) -> [IPAddress] {
    switch target.kind {
    case .address(let address): [address]
    case .name: HostsFile.localhost
    }
  }

  private mutating func refresh(_ index: Int, _ cell: NameCell) {
    guard cell.currentVersion != known[index].version, let (answer, version) = cell.read() else {
      return
    }
    known[index].answer = answer
    known[index].version = version
  }

  private mutating func demand(_ cell: NameCell, _ since: Instant) {
    cell.demand(since: since, worker: worker)
    hasDemands = true
  }

  /// True when the resolver is to be woken.
  mutating func takeDemands() -> Bool {
    defer { hasDemands = false }
    return hasDemands
  }

  /// True when connections waited for an answer, which may be there now.
  mutating func takeAwaited() -> Bool {
    defer { isAwaited = false }
    return isAwaited
  }

  // MARK: Addresses that are gone

  /// By cell: the addresses that connections may stay with, where others have gone since this was
  /// last called. Nil when there is none.
  mutating func takeRetired() -> [[IPAddress]?]? {
    var found: [[IPAddress]?]?
    for index in known.indices {
      let count = board.cells[index].retirements.load(ordering: .acquiring)
      guard count != known[index].retirements else { continue }
      known[index].retirements = count
      found = found ?? Array(repeating: nil, count: known.count)
      found![index] = board.cells[index].readLasting()
    }
    return found
  }

  func cell(ofForward forward: Int) -> Int? { board.cell(ofForward: forward) }

  /// Counts the established connections of a name.
  func count(_ change: Int, forward: Int) {
    guard let index = board.cell(ofForward: forward) else { return }
    board.cells[index].connections.add(change, ordering: .relaxed)
  }
}
