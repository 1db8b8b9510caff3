// Whom to ask first, for how long, and how often at all.
import Testing

@testable import Core

private func servers(_ options: String = "", count: Int = 3) -> NameServers {
  let lines = (1...count).map { "nameserver 10.0.0.\($0)\n" }.joined() + "options \(options)\n"
  return NameServers(ResolvConf([UInt8](lines.utf8), port: 53))
}

private func at(_ milliseconds: Int64) -> Instant {
  Instant(nanoseconds: 1_000_000_000_000) + .milliseconds(milliseconds)
}

struct NameServersTests {
  // MARK: Order

  @Test func theyAreAskedInTheOrderOfTheFile() {
    var servers = servers()
    for _ in 0..<5 { #expect(servers.order(now: at(0)) == [0, 1, 2]) }
  }

  @Test func rotateBeginsWithAnotherEachTime() {
    var servers = servers("rotate")
    let orders = (0..<6).map { _ in servers.order(now: at(0)) }
    #expect(orders[..<3] == [[0, 1, 2], [1, 2, 0], [2, 0, 1]])
    #expect(orders[3...] == orders[..<3])
  }

  @Test func whoFailedIsAskedLastForAWhile() {
    var servers = servers()
    servers.recordFailure(of: 0, now: at(0))
    #expect(servers.order(now: at(0)) == [1, 2, 0])
    servers.recordFailure(of: 1, now: at(10_000))
    #expect(servers.order(now: at(29_999)) == [2, 0, 1])
    #expect(servers.order(now: at(30_000)) == [0, 2, 1])
    #expect(servers.order(now: at(40_000)) == [0, 1, 2])
  }

  @Test func whenAllFailedTheOrderIsTheFiles() {
    var servers = servers()
    for server in [2, 1, 0] { servers.recordFailure(of: server, now: at(0)) }
    #expect(servers.order(now: at(1)) == [0, 1, 2])
  }

  @Test func anAnswerMakesUpForAFailure() {
    var servers = servers()
    servers.recordFailure(of: 0, now: at(0))
    servers.recordAnswer(of: 0, after: .milliseconds(3))
    #expect(servers.order(now: at(1)) == [0, 1, 2])
  }

  @Test func aFailedServerStaysLastWhileTheOthersRotate() {
    var servers = servers("rotate")
    servers.recordFailure(of: 1, now: at(0))
    for _ in 0..<6 { #expect(servers.order(now: at(1)).last == 1) }
  }

  // MARK: Timeouts

  @Test func aServerNothingIsKnownOfHasHalfASecond() {
    let servers = servers()
    #expect(
      (0...4).map { servers.timeout(of: 0, pass: $0) }
        == [500, 1000, 2000, 4000, 5000].map(Nanoseconds.milliseconds))
    #expect(servers.timeout(of: 0, pass: 1000) == .seconds(5))
  }

  @Test(arguments: [(1, 250), (62, 250), (100, 400), (125, 500), (3000, 500)] as [(Int64, Int64)])
  func aFastServerHasLess(roundTrip: Int64, timeout: Int64) {
    var servers = servers()
    servers.recordAnswer(of: 1, after: .milliseconds(roundTrip))
    #expect(servers.timeout(of: 1, pass: 0) == .milliseconds(timeout))
    #expect(servers.timeout(of: 1, pass: 1) == .milliseconds(2 * timeout))
    #expect(servers.timeout(of: 0, pass: 0) == .milliseconds(500))
  }

  @Test func oneSlowAnswerChangesLittle() {
    var servers = servers()
    servers.recordAnswer(of: 0, after: .milliseconds(64))
    servers.recordAnswer(of: 0, after: .milliseconds(128))
    #expect(servers.timeout(of: 0, pass: 0) == .milliseconds(72 * 4))
    for _ in 0..<40 { servers.recordAnswer(of: 0, after: .milliseconds(128)) }
    #expect(servers.timeout(of: 0, pass: 0) > .milliseconds(499))
  }

  @Test func resolvConfBoundsTheTimeout() {
    let servers = servers("timeout:1")
    #expect(servers.timeout(of: 0, pass: 0) == .milliseconds(500))
    #expect(servers.timeout(of: 0, pass: 5) == .seconds(1))
  }

  // MARK: A new resolv.conf

  @Test func whatIsKnownOfAServerThatStaysIsKept() {
    var servers = servers()
    servers.recordAnswer(of: 2, after: .milliseconds(1))
    servers.recordFailure(of: 1, now: at(0))
    servers.recordNoEDNS(of: 0)
    let lines = "nameserver 10.0.0.3\nnameserver 10.0.0.2\nnameserver 10.0.0.9\n"
    servers.replace(ResolvConf([UInt8](lines.utf8), port: 53))
    #expect(servers.timeout(of: 0, pass: 0) == .milliseconds(250))
    #expect(servers.timeout(of: 2, pass: 0) == .milliseconds(500))
    #expect(servers.order(now: at(1)) == [0, 2, 1])
    #expect((0..<3).allSatisfy(servers.readsEDNS))
  }

  @Test func aServerThatCannotReadEDNSIsRemembered() {
    var servers = servers()
    servers.recordNoEDNS(of: 1)
    #expect((0..<3).map(servers.readsEDNS) == [true, false, true])
    servers.replace(ResolvConf([UInt8]("nameserver 10.0.0.2\n"), port: 53))
    #expect(servers.count == 1)
    #expect(!servers.readsEDNS(0))
  }

  /// A lookup goes on with the servers that it began with.
  @Test func aServerThatIsGoneMayStillAnswer() {
    var servers = servers()
    servers.recordAnswer(of: 2, after: .milliseconds(1))
    servers.replace(ResolvConf([UInt8]("nameserver 10.0.0.1\n"), port: 53))
    servers.recordAnswer(of: 2, after: .milliseconds(1))
    servers.recordFailure(of: 1, now: at(0))
    servers.recordNoEDNS(of: 2)
    #expect(!servers.readsEDNS(2))
    #expect(servers.timeout(of: 2, pass: 0) == .milliseconds(500))
    #expect(servers.order(now: at(1)) == [0])
  }

  @Test func anotherPortIsAnotherServer() {
    var servers = servers()
    servers.recordNoEDNS(of: 0)
    servers.replace(ResolvConf([UInt8]("nameserver 10.0.0.1\n"), port: 5353))
    #expect(servers.readsEDNS(0))
  }
}

struct QueryBudgetTests {
  /// The times at which questions go out when everybody wants to ask all the time.
  private func sent(in milliseconds: Int64, step: Int64 = 1) -> [Int64] {
    var budget = QueryBudget()
    var sent: [Int64] = []
    for time in stride(from: 0, to: milliseconds, by: Int(step)) {
      while budget.take(now: at(time)) == nil { sent.append(time) }
    }
    return sent
  }

  private func expectBounded(_ sent: [Int64]) {
    for (index, time) in sent.enumerated() {
      let within = sent[index...].prefix { $0 < time + 1000 }
      #expect(within.count <= 24, "from \(time) ms on")
    }
  }

  @Test func noSecondHasMoreThan24() {
    let sent = sent(in: 5000)
    expectBounded(sent)
    #expect(sent.prefix { $0 == 0 }.count == 8)
    #expect(sent.prefix { $0 < 1000 }.count == 23)
  }

  @Test func sixteenASecondGoOutForAsLongAsNeedBe() {
    let sent = sent(in: 60_000)
    #expect(sent.count == 8 + 60 * 16 - 1)
    for second in 2..<60 { #expect(sent.count { $0 / 1000 == second } == 16) }
  }

  @Test func whoeverMustWaitIsToldUntilWhen() {
    var budget = QueryBudget()
    while budget.take(now: at(0)) == nil {}
    let again = budget.take(now: at(10))!
    #expect(again == at(0) + Nanoseconds(count: 62_500_000))
    #expect(budget.take(now: again - Nanoseconds(count: 1)) == again)
    #expect(budget.take(now: again) == nil)
    #expect(budget.take(now: again) == again + Nanoseconds(count: 62_500_000))
  }

  @Test func aLongRestSavesUpNoMoreThanABurst() {
    var budget = QueryBudget()
    while budget.take(now: at(0)) == nil {}
    var burst = 0
    while budget.take(now: at(86_400_000)) == nil { burst += 1 }
    #expect(burst == 8)
  }

  @Test(arguments: 0..<20) func noPatternGetsMore(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    var budget = QueryBudget()
    var time: Int64 = 0
    var sent: [Int64] = []
    for _ in 0..<2000 {
      time += Int64.random(
        in: 0...[0, 20, 200, 1500].randomElement(using: &random)!, using: &random)
      if budget.take(now: at(time)) == nil { sent.append(time) }
    }
    expectBounded(sent)
    #expect(sent.count > 100)
  }
}
