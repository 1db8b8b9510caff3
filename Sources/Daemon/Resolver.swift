// Looks up the targets' names on the supervisor's thread: takes the workers' wishes, performs what
// NameRecord decides, and leaves the answers on the board. Waits for nothing.
import Core
import Linux
import Synchronization

final class Resolver {
  private let settings: Settings
  private let board: NameBoard
  private let doors: [WorkerDoor]
  private let poller: Int32
  /// Tells an event at its level.
  private let report: (LogLevel, (inout LogLine) -> Void) -> Void

  private var records: [NameRecord]
  private var files: NameFiles
  private var budget = QueryBudget()
  private var questions: UInt64 = 0
  /// By name and slot.
  private var exchanges: [NameExchange?]

  /// A server that sends more than this at once for one question is not listened to any longer.
  private static let maxMessages = 64

  /// Event tokens from here on are the resolver's.
  static let firstToken: UInt64 = 1 << 32

  init(
    shared: Shared, poller: Int32,
    report: @escaping (LogLevel, (inout LogLine) -> Void) -> Void
  ) {
    settings = shared.settings
    board = shared.names
    doors = shared.doors
    self.poller = poller
    self.report = report
    let rules = NameRules(
      connectTimeout: settings.connectTimeout, staleLimit: settings.staleLimit)
    records = board.cells.map {
      NameRecord(name: $0.name, isAbsolute: $0.isAbsolute, rules: rules)
    }
    files = NameFiles(settings)
    exchanges = Array(repeating: nil, count: board.cells.count * Lookup.slots)
  }

  /// Of all names together.
  var counts: NameCounts {
    var sum = NameCounts()
    sum.questions = questions
    for index in records.indices { sum.add(records[index].counts) }
    return sum
  }

  /// Does all there is to do; returns when to be called again if nothing happens before.
  func serve(now: Instant) -> Instant? {
    var earliest: Instant?
    for index in records.indices {
      takeDemand(index, now)
      if let next = advance(index, now) { earliest = min(earliest ?? next, next) }
      if !records[index].isLookingUp { wakeWaiting(index) }
    }
    return earliest
  }

  private func takeDemand(_ index: Int, _ now: Instant) {
    let since = board.cells[index].demandedSince.exchange(
      NameCell.noDemand, ordering: .sequentiallyConsistent)
    guard since != NameCell.noDemand else { return }
    let answer = records[index].answer
    // Published after the worker looked and before it could be woken: with the lookup still
    // waiting for its second family, nothing else would wake it for seconds.
    if since <= answer.startedAt.nanoseconds, answer.isUsable(now: now) { wakeWaiting(index) }
    records[index].demand(since: Instant(nanoseconds: since), now: now)
  }

  private func wakeWaiting(_ index: Int) {
    let waiting = board.cells[index].waitingWorkers.exchange(0, ordering: .sequentiallyConsistent)
    for worker in doors.indices where waiting >> UInt64(worker) & 1 == 1 {
      doors[worker].wake.signal()
    }
  }

  // MARK: Performing

  private func advance(_ index: Int, _ now: Instant) -> Instant? {
    let cell = board.cells[index]
    while true {
      let step = records[index].next(
        now: now, isUsed: { isUsed(cell) }, servers: &files.servers, budget: &budget,
        random: { unguessableBits() })
      switch step {
      case .begin:
        if let finding = files.refresh(now) { tell(finding) }
        records[index].begin(hosts: files.hosts, servers: &files.servers, now: now)
      case .ask(let slot, let transport, let again):
        ask(index, slot, transport, again: again, now)
      case .hangUp: hangUp(index)
      case .publish: publish(index, cell)
      case .retire:
        cell.retirements.add(1, ordering: .releasing)
        if settings.onTargetChange != .keep { for door in doors { door.wake.signal() } }
      case .tell(let event): tell(event, index)
      case .wait(let until): return until
      }
    }
  }

  private func isUsed(_ cell: NameCell) -> Bool {
    let wasUsed = cell.isUsed.exchange(false, ordering: .relaxed)
    return wasUsed
      || settings.onTargetChange != .keep && cell.connections.load(ordering: .relaxed) > 0
  }

  private func publish(_ index: Int, _ cell: NameCell) {
    cell.isUsed.store(false, ordering: .relaxed)
    cell.write(records[index].answer, lasting: records[index].lasting)
    if records[index].answer.failure == .nameServersFailed { files.lookAgain() }
    wakeWaiting(index)
  }

  // MARK: Exchanges with name servers

  private func ask(
    _ index: Int, _ slot: Int, _ transport: Lookup.Transport, again: Bool, _ now: Instant
  ) {
    questions += 1
    let lookup = records[index].lookup!
    let place = index * Lookup.slots + slot
    do throws(Errno) {
      if again, let exchange = exchanges[place] {
        try exchange.sendAgain(lookup.message(of: slot))
      } else {
        exchanges[place] = nil
        let exchange = try NameExchange(
          server: lookup.server(of: slot), transport, lookup.message(of: slot))
        exchanges[place] = exchange
        try watch(
          exchange.socket.number, with: poller, for: .changes,
          token: Self.firstToken + UInt64(place))
      }
    } catch {
      exchanges[place] = nil
      let word = Failure(error).isShortage ? ServerWord.noDescriptors : .unreachable
      records[index].fail(slot, word, now: now, servers: &files.servers)
    }
  }

  private func hangUp(_ index: Int) {
    for slot in 0..<Lookup.slots { exchanges[index * Lookup.slots + slot] = nil }
  }

  /// An event of one of the exchanges.
  func handle(_ token: UInt64, now: Instant) {
    let place = Int(token - Self.firstToken)
    guard place < exchanges.count, let exchange = exchanges[place] else { return }
    let (index, slot) = place.quotientAndRemainder(dividingBy: Lookup.slots)
    for _ in 0..<Self.maxMessages {
      switch exchange.proceed() {
      case .message(let message):
        guard let lookup = records[index].lookup else { return }
        let reply = records[index].receive(message, slot: slot, now: now, servers: &files.servers)
        if settings.logLevel >= .debug {
          report(.debug) {
            $0.nameServerAnswered(
              name: lookup.name, family: lookup.family(of: slot), server: lookup.server(of: slot),
              reply: reply, after: now - lookup.startedAt, at: .now)
          }
        }
        guard exchanges[place] === exchange else { return }
      case .wait: return
      case .failed(let word):
        exchanges[place] = nil
        records[index].fail(slot, word, now: now, servers: &files.servers)
        return
      }
    }
    exchanges[place] = nil
    records[index].fail(slot, .brokenOff, now: now, servers: &files.servers)
  }

  // MARK: The log

  private func tell(_ finding: NameFiles.Finding) {
    let path = settings.resolvConf
    switch finding {
    case .missing: report(.warn) { $0.resolvConfMissing(path: path, at: .now) }
    case .ignored(let count):
      report(.warn) { $0.resolvConfIgnored(path: path, ignored: count, at: .now) }
    }
  }

  private func tell(_ event: NameEvent, _ index: Int) {
    let name = records[index].name
    switch event {
    case .changed(let before, let addresses, let unsaid):
      report(.info) {
        $0.addressesChanged(
          name: name, from: before, to: addresses, unsaid: unsaid, at: .now)
      }
    case .stale(let age):
      report(.warn) {
        $0.staleAnswerUsed(name: name, age: age, words: records[index].words, at: .now)
      }
    case .recovered: report(.info) { $0.nameServersRecovered(name: name, at: .now) }
    case .failed(let failure, let repeated):
      report(.warn) {
        $0.lookupFailed(
          name: name, failure: failure, words: records[index].words, repeated: repeated,
          at: .now)
      }
    }
  }
}
