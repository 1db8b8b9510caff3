// Drives the records of some names over simulated name servers, clients and time, as the daemon
// drives them over real ones, and checks what must hold whatever happens. What is checked when an
// answer is published or used: NameSimulationChecks.swift.
@testable import Core

/// One mistake each in what surrounds the records, or an alteration of what they see that amounts
/// to a mistake in them.
enum NameMutant: CaseIterable {
  case believesEveryID
  case believesEveryQuestion
  case believesEveryOwner
  /// Never hangs up, and asks everything under one ID.
  case takesAnswersToOldQuestions
  case forgetsTheBudget
  /// Asks again for what nobody uses.
  case refreshesWhatIsUnused
  case losesDemands
  case oversleeps
  case usesAnswersForEver
  case letsStaleAnswersLiveTenTimesAsLong
}

struct NameSimulation {
  static let limit = Nanoseconds.milliseconds(7500)
  static let staleLimit = Nanoseconds.seconds(20)

  struct Wait {
    var since: Instant?
    var at: Instant
  }

  struct Delivery {
    var at: Instant
    var index: Int
    var slot: Int
    /// Of the socket that it comes to.
    var socket: Int
    var arrival: Arrival
  }

  /// One name: its record, what the board shows of it, and its clients.
  struct Name {
    var record: NameRecord
    var sockets = [Int?](repeating: nil, count: Lookup.slots)
    var wake: Instant?
    var board = NameAnswer()
    var isUsed = false
    var nextClient = Instant.never
    var waiting: [Wait] = []
    /// Since when a publication is owed.
    var owedSince: Instant?
    /// There is a reason for a lookup.
    var mayBegin = false
    /// The true answers that were believed, with when.
    var believed: [(truth: Truth, at: Instant)] = []
    /// Until when the last good answer can stand in.
    var goodUntil = Instant(nanoseconds: .min)
    var deniedAt = Instant(nanoseconds: .min)
  }

  var now = Instant(nanoseconds: 1_000_000_000_000)
  let mutant: NameMutant?
  var names: [Name] = []
  private var random: SeededGenerator
  private var world: SimulatedNameServers
  private var servers: NameServers
  private var budget = QueryBudget()
  private var deliveries: [Delivery] = []
  private var sent: [Instant] = []
  private var lastSocket = 0
  private var nextTrouble = Instant.never
  private var isBusy = true
  /// Clients come one after the other, and each wants something newer.
  private let isRush: Bool

  init(seed: UInt64, mutant: NameMutant? = nil) {
    random = SeededGenerator(seed: seed)
    self.mutant = mutant
    isRush = Int.random(in: 0..<8, using: &random) == 0
    world = SimulatedNameServers(
      names: Int.random(in: 1...3, using: &random), random: SeededGenerator(seed: ~seed))
    world.hidesOwners = mutant == .believesEveryOwner
    servers = NameServers(ResolvConf([], port: 53))
    servers.replace(conf())
    var rules = NameRules(connectTimeout: .seconds(10), staleLimit: Self.staleLimit)
    if mutant == .letsStaleAnswersLiveTenTimesAsLong {
      rules.staleLimit = Nanoseconds(count: Self.staleLimit.count * 10)
    }
    names = world.names.map {
      Name(record: NameRecord(name: $0.name, isAbsolute: false, rules: rules))
    }
  }

  private mutating func conf() -> ResolvConf {
    var options = "options timeout:\(Int.random(in: 1...5, using: &random))"
    options += " attempts:\(Int.random(in: 1...3, using: &random))"
    for option in ["rotate", "single-request", "use-vc", "no-aaaa"] where chance(6) {
      options += " " + option
    }
    if chance(4) { options += "\nsearch test" }
    let all = (1...ResolvConf.maxServers).shuffled(using: &random)
    let some = all.prefix(Int.random(in: 1...all.count, using: &random))
    let lines = some.map { "nameserver 10.0.0.\($0)\n" }.joined()
    return ResolvConf([UInt8]((lines + options + "\n").utf8), port: 53)
  }

  // MARK: The run

  mutating func run() throws {
    for index in names.indices { names[index].nextClient = now }
    for _ in 0..<5 { world.changeAServer() }
    nextTrouble = now
    try run(for: .milliseconds(Int64.random(in: 1000...12_000, using: &random)))
    nextTrouble = .never
    for index in names.indices { names[index].nextClient = .never }
    isBusy = false
    if chance(2) { try beSilent() }
    world.heal()
    // So that no lookup that began before has the time of one that begins from now on.
    try run(for: .milliseconds(1))
    try recover()
  }

  /// What was used may be refreshed once; then nobody is asked any more.
  private mutating func beSilent() throws {
    try run(for: .seconds(260))
    sent = []
    try run(for: .seconds(440))
    guard sent.isEmpty else { throw failure("questions that nobody needs", 0) }
  }

  private mutating func recover() throws {
    for index in names.indices {
      names[index].waiting.append(Wait(since: now, at: now))
      try lookAtBoard(index)
    }
    try run(for: Nanoseconds(count: 3 * Self.limit.count))
    for index in names.indices {
      var expected = world.names[index].ipv4
      if servers.conf.asksForIPv6 { expected += world.names[index].ipv6 }
      let answer = names[index].record.answer
      let isTrue =
        expected.count == answer.addresses.count
        && expected.allSatisfy { answer.addresses.contains($0) }
      guard isTrue, !answer.isStale, names[index].waiting.isEmpty else {
        throw failure("not recovered, expected \(expected)", index)
      }
    }
  }

  private mutating func run(for span: Nanoseconds) throws {
    let end = now + span
    for _ in 0..<100_000 {
      for index in names.indices { try serve(index) }
      let due = nextEvent()
      guard due <= end else {
        now = end
        return try checkPromises()
      }
      guard now <= due else { throw failure("spins", 0) }
      now = due
      try checkPromises()
      try happen()
    }
    throw failure("no end", 0)
  }

  private func nextEvent() -> Instant {
    var next = nextTrouble
    for name in names { next = min(next, min(name.nextClient, name.wake ?? .never)) }
    for delivery in deliveries { next = min(next, delivery.at) }
    return next
  }

  private mutating func happen() throws {
    if nextTrouble <= now {
      nextTrouble = now + .milliseconds(Int64.random(in: 50...1500, using: &random))
      chance(3) ? world.changeAName() : world.changeAServer()
    }
    while let place = deliveries.firstIndex(where: { $0.at <= now }) {
      try deliver(deliveries.remove(at: place))
    }
    for index in names.indices where names[index].nextClient <= now {
      // Now and then nobody for a while.
      let pause: ClosedRange<Int64> = isRush ? 1...50 : chance(20) ? 100...9000 : 5...400
      names[index].nextClient = now + .milliseconds(Int64.random(in: pause, using: &random))
      // One of them could not connect, and wants something newer.
      let age = Nanoseconds.milliseconds(isRush ? 0 : Int64.random(in: 0...999, using: &random))
      let since = chance(5) ? now - age : nil
      names[index].waiting.append(Wait(since: since, at: now))
      try lookAtBoard(index)
    }
  }

  // MARK: The resolver

  private mutating func serve(_ index: Int) throws {
    for _ in 0..<10 {
      guard try performSteps(index) else { return }
      // Whoever is not served by what was published asks again.
      try lookAtBoard(index)
    }
    throw failure("publishes without end", index)
  }

  /// True when something was published.
  private mutating func performSteps(_ index: Int) throws -> Bool {
    var hasPublished = false
    for _ in 0..<200 {
      switch next(index) {
      case .begin: try begin(index)
      case .ask(let slot, let transport, let again):
        try ask(index, slot, transport, again: again)
      case .hangUp:
        if mutant != .takesAnswersToOldQuestions {
          names[index].sockets = names[index].sockets.map { _ in nil }
        }
      case .publish:
        hasPublished = true
        names[index].isUsed = false
        names[index].owedSince = nil
        try checkPublication(index)
        names[index].board = names[index].record.answer
        noteGood(index)
      case .retire, .tell: break
      case .wait(let until):
        if let until, until <= now { throw failure("waits for the past", index) }
        names[index].wake = mutant == .oversleeps ? until.map { $0 + .seconds(3) } : until
        return hasPublished
      }
    }
    throw failure("no end of steps", index)
  }

  private mutating func next(_ index: Int) -> NameRecord.Step {
    var record = names[index].record
    var (isUsed, mayBegin) = (names[index].isUsed, names[index].mayBegin)
    var random = random
    if mutant == .forgetsTheBudget { budget = QueryBudget() }
    let step = record.next(
      now: now,
      isUsed: {
        defer { isUsed = false }
        mayBegin = mayBegin || isUsed
        return isUsed || mutant == .refreshesWhatIsUnused
      }, servers: &servers, budget: &budget,
      random: {
        mutant == .takesAnswersToOldQuestions
          ? 7 : UInt16.random(in: 0...UInt16.max, using: &random)
      })
    self.random = random
    names[index].record = record
    names[index].isUsed = isUsed
    names[index].mayBegin = mayBegin
    return step
  }

  private mutating func begin(_ index: Int) throws {
    guard names[index].mayBegin else { throw failure("a lookup that nobody needs", index) }
    names[index].mayBegin = false
    if isBusy && chance(30) {
      servers.replace(conf())
      // Lookups under way begin anew.
      for index in names.indices where names[index].record.lookup != nil {
        names[index].mayBegin = true
        if names[index].owedSince != nil { names[index].owedSince = now }
        for wait in names[index].waiting.indices { names[index].waiting[wait].at = now }
      }
    }
    names[index].record.begin(hosts: HostsFile([]), servers: &servers, now: now)
  }

  private mutating func ask(
    _ index: Int, _ slot: Int, _ transport: Lookup.Transport, again: Bool
  ) throws {
    let lookup = names[index].record.lookup!
    sent.append(now)
    sent.removeAll { $0 < now - .seconds(1) }
    guard sent.count <= 24 else { throw failure("\(sent.count) questions in a second", index) }
    let keepsSocket = again || mutant == .takesAnswersToOldQuestions
    if !keepsSocket || names[index].sockets[slot] == nil {
      lastSocket += 1
      names[index].sockets[slot] = lastSocket
    }
    let message = lookup.message(of: slot)
    let question = SimulatedQuestion(
      name: lookup.name, family: lookup.family(of: slot), transport: transport,
      message: transport == .stream ? Array(message.dropFirst(2)) : message, now: now)
    for (after, arrival) in world.answer(question, by: number(of: lookup.server(of: slot)) - 1) {
      deliveries.append(
        Delivery(
          at: now + .milliseconds(after), index: index, slot: slot,
          socket: names[index].sockets[slot]!, arrival: arrival))
    }
  }

  private mutating func deliver(_ delivery: Delivery) throws {
    let index = delivery.index
    guard names[index].sockets[delivery.slot] == delivery.socket else { return }
    switch delivery.arrival {
    case .failure(let word):
      names[index].sockets[delivery.slot] = nil
      names[index].record.fail(delivery.slot, word, now: now, servers: &servers)
    case .message(let message, let truth):
      guard names[index].record.lookup != nil else { return }
      let reply = names[index].record.receive(
        bent(message, delivery), slot: delivery.slot, now: now, servers: &servers)
      switch reply {
      case .addresses:
        guard let truth else { throw failure("a lie is believed", index) }
        names[index].believed.removeAll { $0.at < now - .seconds(400) }
        names[index].believed.append((truth, now))
      case .noAddress, .noName: names[index].deniedAt = now
      case .notOurs, .truncated, .fault: break
      }
    }
  }

  /// The message as a lookup would see it that did not look at its ID, or its question.
  private func bent(_ message: [UInt8], _ delivery: Delivery) -> [UInt8] {
    guard let lookup = names[delivery.index].record.lookup, message.count > 12 else {
      return message
    }
    let asked = lookup.message(of: delivery.slot)
      .dropFirst(lookup.exchanges[delivery.slot].transport == .stream ? 2 : 0)
    switch mutant {
    case .believesEveryID: return Array(asked.prefix(2) + message.dropFirst(2))
    case .believesEveryQuestion:
      let end = 12 + wireName(lookup.name).count + 4
      guard message.count > end else { return message }
      return Array(message[..<12] + asked.dropFirst(12).prefix(end - 12) + message[end...])
    case _: return message
    }
  }

  /// Until when what was published can stand in for what comes next.
  private mutating func noteGood(_ index: Int) {
    let answer = names[index].board
    switch answer.failure {
    case nil:
      if !answer.isStale { names[index].goodUntil = answer.freshUntil + Self.staleLimit }
    case .nameServersFailed: break
    case _: names[index].goodUntil = Instant(nanoseconds: .min)
    }
  }

  // MARK: Clients

  /// Those that find what they need are served; for the others something newer is asked for.
  private mutating func lookAtBoard(_ index: Int) throws {
    var waiting: [Wait] = []
    for wait in names[index].waiting {
      let answer = names[index].board
      var isUsable = answer.isUsable(now: now)
      if mutant == .usesAnswersForEver { isUsable = isUsable || !answer.addresses.isEmpty }
      guard isUsable, wait.since.map({ $0 <= answer.startedAt }) ?? true else {
        demand(index, wait.since ?? now - .seconds(1))
        waiting.append(wait)
        continue
      }
      // A stale one: the servers are tried again meanwhile.
      if answer.freshUntil <= now { demand(index, now - .seconds(1), isOwed: false) }
      guard answer.failure == nil else { continue }
      try checkUse(index)
      names[index].isUsed = true
    }
    names[index].waiting = waiting
  }

  private mutating func demand(_ index: Int, _ since: Instant, isOwed: Bool = true) {
    if isOwed { names[index].owedSince = names[index].owedSince ?? now }
    if mutant == .losesDemands && chance(8) { return }
    names[index].mayBegin = true
    names[index].record.demand(since: since, now: now)
  }

  private mutating func chance(_ count: Int) -> Bool {
    Int.random(in: 0..<count, using: &random) == 0
  }
}
