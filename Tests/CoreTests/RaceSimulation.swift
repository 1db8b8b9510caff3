// A race against addresses and name servers that do as chance has it, with simulated time. Checks
// what a race owes to everybody, whatever happens.
import Testing

@testable import Core

struct RaceSimulation {
  private enum Fate {
    case connects(after: Int64)
    case fails(after: Int64)
    case hangs
    case noDescriptors
  }

  private struct Attempt {
    var address: IPAddress
    /// Nil: never.
    var decidedAt: Int64?
    var wins: Bool
  }

  enum Outcome: Equatable {
    case connected
    case gaveUp(Failure)
  }

  private var random: SeededGenerator
  private var race: Race
  private var now: Int64 = 0
  private let end: Int64
  private let isLiteral: Bool
  /// The oldest first.
  private var underWay: [Attempt] = []
  private(set) var tried: [IPAddress] = []
  private(set) var dropped = 0
  private(set) var postponed = 0
  private(set) var lookups = 0
  private var named: [IPAddress]
  private var answerStartedAt: Int64
  private var answer: (dueAt: Int64, startedAt: Int64)?
  private var asked: Instant?
  /// Addresses that the name has got while the race ran, and that were offered.
  private var offered: [IPAddress] = []
  /// Out of sixteen attempts, so many connect, and so many fail.
  private let connecting: UInt64
  private let failing: UInt64

  /// The race's clock is in milliseconds, give or take a nanosecond.
  private static func at(_ milliseconds: Int64) -> Instant {
    Instant(nanoseconds: 1_000_000_000_000) + .milliseconds(milliseconds)
  }

  init(seed: UInt64) {
    random = SeededGenerator(seed: seed)
    connecting = random.next() % 3
    failing = random.next() % (17 - connecting)
    let count = [1, 1, 2, 3, 8, 32].randomElement(using: &random)!
    named = (0..<count).map { ipv4(0x0a00_0000 + UInt32($0)) }
    end = [1, 50, 1000, 5000, 60_000].randomElement(using: &random)!
    isLiteral = random.next() % 8 == 0
    answerStartedAt = [0, -1, -500, -1000, -5000, -300_000].randomElement(using: &random)!
    offered = named
    race = Race(
      addresses: named, answerStartedAt: isLiteral ? .never : Self.at(answerStartedAt),
      end: Self.at(end), now: Self.at(0))
  }

  /// Runs it to its end.
  mutating func run() -> Outcome {
    var stepsAtOnce = 0
    while true {
      stepsAtOnce += 1
      // Each address is an attempt, and each attempt may drop one before; each answer one more.
      guard stepsAtOnce < 200 else {
        Issue.record("it does not move on at \(now) ms")
        return .gaveUp(.timedOut)
      }
      if takeOutcomes() { return .connected }
      takeAnswer()
      switch race.next(now: Self.at(now)) {
      case .connect(let address): connect(address)
      case .dropOldest:
        #expect(underWay.count == Race.maxAttempts)
        guard !underWay.isEmpty else { return .gaveUp(.timedOut) }
        underWay.removeFirst()
        dropped += 1
      case .lookUp(let since): lookUp(since)
      case .wait(let until):
        #expect(Self.at(now) < until && until <= Self.at(end))
        let next = [(until - Self.at(0)).wholeMilliseconds, answer?.dueAt]
        now = min(
          (next + underWay.map(\.decidedAt)).compactMap { $0 }.min()!, max(end, now + 1))
        stepsAtOnce = 0
      case .giveUp(let failure):
        if now < end { #expect(underWay.isEmpty, "an attempt might still win") }
        expectAllTried()
        return .gaveUp(failure)
      }
    }
  }

  private mutating func connect(_ address: IPAddress) {
    #expect(now < end)
    #expect(underWay.count < Race.maxAttempts)
    #expect(!tried.contains(address), "twice")
    #expect(named.contains(address), "not an address of the name")
    tried.append(address)
    let fate = chooseFate()
    var attempt = Attempt(address: address, decidedAt: nil, wins: false)
    switch fate {
    case .connects(let delay):
      attempt.decidedAt = now + delay
      attempt.wins = true
    case .fails(let delay): attempt.decidedAt = now + delay
    case .hangs: break
    case .noDescriptors:
      postponed += 1
      tried.removeLast()
      return race.postpone(.noDescriptors, until: Self.at(now + 50))
    }
    underWay.append(attempt)
  }

  private mutating func chooseFate() -> Fate {
    let choice = random.next() % 16
    let delay: Int64 = [0, 1, 20, 249, 250, 251, 3000].randomElement(using: &random)!
    if choice < connecting { return .connects(after: delay) }
    if choice < connecting + failing { return .fails(after: delay) }
    return random.next() % 4 == 0 ? .noDescriptors : .hangs
  }

  /// True when one has connected.
  private mutating func takeOutcomes() -> Bool {
    while let index = underWay.firstIndex(where: { $0.decidedAt.map { $0 <= now } ?? false }) {
      let attempt = underWay.remove(at: index)
      if attempt.wins { return true }
      race.fail(
        [.refused, .networkUnreachable].randomElement(using: &random)!, now: Self.at(now))
    }
    return false
  }

  // MARK: Looking again

  private mutating func lookUp(_ since: Instant) {
    #expect(!isLiteral)
    #expect(asked == nil, "one question at a time")
    #expect(since <= Self.at(now))
    lookups += 1
    asked = since
    if since <= Self.at(answerStartedAt) { return answer = (now, answerStartedAt) }
    let delay: Int64 = [0, 1, 30, 700, 10_000, 100_000].randomElement(using: &random)!
    answer = (now + delay, now)
  }

  private mutating func takeAnswer() {
    guard let due = answer, due.dueAt <= now, let since = asked else { return }
    answer = nil
    // Now and then one from before the question comes first.
    let isOld = random.next() % 8 == 0 && due.dueAt < end
    let startedAt = isOld ? answerStartedAt : due.startedAt
    if Self.at(startedAt) < since {
      answer = (now + 10, due.startedAt)
    } else {
      asked = nil
    }
    answerStartedAt = startedAt
    var addresses: [IPAddress] = []
    if random.next() % 4 > 0 {
      addresses = named.filter { _ in random.next() % 2 == 0 }
      // The name has moved: but not for ever.
      if random.next() % 2 == 0 && offered.count < 80 {
        addresses.append(ipv4(0x0b00_0000 + UInt32(offered.count)))
      }
      addresses.shuffle(using: &random)
      if !addresses.isEmpty { named = addresses }
      for address in addresses where !offered.contains(address) { offered.append(address) }
    }
    race.offer(addresses, startedAt: Self.at(startedAt), now: Self.at(now))
  }

  /// Nobody is sent away while there is time and an address that was not tried.
  private func expectAllTried() {
    guard now < end else { return }
    for address in named { #expect(tried.contains(address)) }
  }
}

@Test(arguments: 0..<50) func aRaceKeepsItsWordWhateverHappens(seed: UInt64) {
  var outcomes: [RaceSimulation.Outcome] = []
  var tried = 0
  var dropped = 0
  var postponed = 0
  var lookups = 0
  for round in 0..<200 {
    var simulation = RaceSimulation(seed: seed << 32 + UInt64(round))
    outcomes.append(simulation.run())
    tried += simulation.tried.count
    dropped += simulation.dropped
    postponed += simulation.postponed
    lookups += simulation.lookups
  }
  // The seeds lead everywhere.
  for outcome in [.connected, .gaveUp(.refused), .gaveUp(.timedOut)] as [RaceSimulation.Outcome] {
    #expect(outcomes.contains(outcome))
  }
  #expect(tried > 200 && dropped > 0 && postponed > 0 && lookups > 50)
}
