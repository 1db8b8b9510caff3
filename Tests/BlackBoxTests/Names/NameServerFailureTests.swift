// Name servers that refuse, fail, are silent or slow; what stands in for them, and what is said.
import Foundation
import Testing

private let both: [Loopback] = [.ipv4, .otherIPv4]

@Suite(.aside)
struct NextServerTests {
  /// What the first of two servers does; the second always answers.
  private func expectTheSecond(
    within span: Duration, _ reaction: @escaping ScriptedNameServer.Script
  ) throws {
    let target = try Target()
    let names = try ScriptedNameServer(on: both) { question in
      question.server == .ipv4 ? reaction(question) : .reply(question.addresses("127.0.0.1"))
    }
    try withSidecar(to: target, asking: names) { sidecar in
      let took = try timing { try sidecar.visit(target) }
      #expect(took < span)
      #expect(names.questions.contains { $0.server == .otherIPv4 && $0.type == .a })
      #expect(sidecar.count(of: "name lookup failed") == 0)
    }
  }

  /// At once: well below the time after which a silent server is left.
  @Test(arguments: [5, 2, 4, 9, 15])
  func afterAnErrorTheNextIsAskedAtOnce(code: UInt16) throws {
    try expectTheSecond(within: .milliseconds(450)) { _ in .reply(Reply(code: code)) }
  }

  @Test func afterSilenceTheNextIsAskedSoon() throws {
    try expectTheSecond(within: .seconds(3)) { _ in .silence }
  }

  @Test func aServerThatIsNotThereIsPassedOver() throws {
    let target = try Target()
    let names = try ScriptedNameServer(on: [.otherIPv4]) { .reply($0.addresses("127.0.0.1")) }
    let conf = try ResolvConfFile("nameserver 127.0.0.3\n" + names.conf)
    try withSidecar(to: target, asking: names, conf) { sidecar in
      let took = try timing { try sidecar.visit(target) }
      #expect(took < .milliseconds(450))
    }
  }

  /// An answer to a question that is given up for the next server is still an answer.
  @Test func aServerThatIsOnlySlowIsStillHeard() throws {
    let target = try Target()
    let names = try ScriptedNameServer(on: both) { question in
      guard question.server == .ipv4 else { return .silence }
      return .after(.milliseconds(800), .reply(question.addresses("127.0.0.1")))
    }
    try withSidecar(to: target, asking: names) { sidecar in
      let took = try timing { try sidecar.visit(target) }
      #expect(took < .seconds(3))
      #expect(names.questions.contains { $0.server == .otherIPv4 })
    }
  }

  @Test func aServerThatWasSilentIsAskedLastForAWhile() throws {
    let target = try Target()
    let names = try ScriptedNameServer(on: both) { question in
      question.server == .ipv4 ? .silence : .reply(question.addresses("127.0.0.1", ttl: 1))
    }
    try withSidecar(to: target, asking: names) { sidecar in
      try sidecar.visit(target)
      #expect(names.questions.contains { $0.server == .ipv4 })
      names.forget()
      // The answer was used, and is renewed before its second is over.
      try names.waitForQuestions(2)
      #expect(names.questions.allSatisfy { $0.server == .otherIPv4 })
    }
  }

  /// The families are judged apart: one server may know the one and not the other.
  @Test func eachFamilyIsHadFromWhoeverKnowsIt() throws {
    let target = try Target()
    let names = try ScriptedNameServer(on: both) { question in
      if question.server == .ipv4 && question.type == .a { return .reply(.serverFailure) }
      return .reply(question.addresses("127.0.0.1"))
    }
    try withSidecar(to: target, asking: names) { sidecar in
      let took = try timing { try sidecar.visit(target) }
      #expect(took < .milliseconds(450))
    }
  }

  /// A server that cannot read an OPT record (RFC 6891, section 7) is asked without.
  @Test(arguments: [1, 4])
  func withoutEDNSAServerIsAskedPlainly(code: UInt16) throws {
    let target = try Target()
    let names = try ScriptedNameServer { question in
      .reply(question.hasEDNS ? Reply(code: code) : question.addresses("127.0.0.1", ttl: 1))
    }
    try withSidecar(to: target, asking: names) { sidecar in
      let took = try timing { try sidecar.visit(target) }
      #expect(took < .milliseconds(450))
      pause(.milliseconds(1200))
      names.forget()
      try sidecar.visit(target)
      // It is not asked in vain a second time.
      #expect(names.questions.allSatisfy { !$0.hasEDNS })
    }
  }

  /// A firewall that drops what has an OPT record looks like a silent server at first.
  @Test func whereEDNSIsDroppedAPlainQuestionFollows() throws {
    let target = try Target()
    let names = try ScriptedNameServer { question in
      question.hasEDNS ? .silence : .reply(question.addresses("127.0.0.1"))
    }
    try withSidecar(to: target, asking: names) { sidecar in
      let took = try timing { try sidecar.visit(target) }
      #expect(took < .seconds(3))
    }
  }
}

@Suite(.aside)
struct NoAnswerTests {
  @Test func aClientOfSilentServersIsResetInTimeAndTheLogNamesThem() throws {
    let target = try Target()
    let names = try ScriptedNameServer(on: both) { _ in .silence }
    try withSidecar(to: target, asking: names, ["CONNECT_TIMEOUT": "2s"]) { sidecar in
      let took = try timing { try sidecar.connect().expect(.reset) }
      #expect(took < .milliseconds(2500))
      let line = try sidecar.waitForLine("name lookup failed")
      #expect(line.level == "warn")
      #expect(line["name"] == "db.test")
      #expect(line["cause"] == "name_servers_failed")
      #expect(
        line["servers"]
          == "127.0.0.1:\(names.port) no answer, 127.0.0.2:\(names.port) no answer")
      let failed = try sidecar.waitForLine("connection failed: ")
      #expect(failed["cause"] == "name_servers_failed")
      #expect(failed["target"] == "db.test:\(target.port)")
      #expect(failed["address"] == nil)
    }
  }

  @Test func theLogTellsWhatEachServerSaid() throws {
    let target = try Target()
    let names = try ScriptedNameServer(on: both) { question in
      .reply(question.server == .ipv4 ? .refused : .serverFailure)
    }
    let conf = try ResolvConfFile(names.conf + "nameserver 127.0.0.3\n")
    try withSidecar(to: target, asking: names, conf, ["CONNECT_TIMEOUT": "1s"]) { sidecar in
      let took = try timing { try sidecar.connect().expect(.reset) }
      #expect(took < .milliseconds(1500))
      let line = try sidecar.waitForLine("name lookup failed")
      let port = names.port
      #expect(
        line["servers"] == "127.0.0.1:\(port) REFUSED, 127.0.0.2:\(port) SERVFAIL, "
          + "127.0.0.3:\(port) unreachable")
    }
  }

  /// Its answer comes when nobody waits for it any more; the next lookup is another.
  @Test func anAnswerAfterTheDeadlineHarmsNobody() throws {
    let target = try Target()
    let names = try ScriptedNameServer {
      .after(.milliseconds(900), .reply($0.addresses("127.0.0.1")))
    }
    try withSidecar(to: target, asking: names, ["CONNECT_TIMEOUT": "500ms"]) { sidecar in
      try sidecar.connect().expect(.reset)
      pause(.milliseconds(800))
      names.change { .reply($0.addresses("127.0.0.1")) }
      try sidecar.waitUntilServed(by: target)
    }
  }

  @Test func aClientThatLeavesWhileItsNameIsLookedUpIsForgotten() throws {
    let target = try Target()
    let names = try ScriptedNameServer {
      .after(.milliseconds(400), .reply($0.addresses("127.0.0.1")))
    }
    try withSidecar(to: target, asking: names) { sidecar in
      let client = try sidecar.connect()
      try names.waitForQuestions(2)
      try client.reset()
      try sidecar.waitForLine("probe absorbed")
      try sidecar.waitForLine("name resolved")
      #expect(!target.isBeingCalled)
      try sidecar.visit(target)
    }
  }

  // MARK: Names that lead nowhere

  @Test func aNameThatDoesNotExistIsNotFound() throws {
    let target = try Target()
    let names = try ScriptedNameServer { _ in .reply(.noName()) }
    try withSidecar(to: target, asking: names) { sidecar in
      let took = try timing { try sidecar.connect().expect(.reset) }
      #expect(took < .seconds(2))
      #expect(try sidecar.waitForLine("connection failed: ")["cause"] == "name_not_found")
      let line = try sidecar.waitForLine("name lookup failed")
      #expect(line["cause"] == "name_not_found")
      #expect(line["servers"] == "127.0.0.1:\(names.port) NXDOMAIN")
      // Remembered, as the SOA says.
      for _ in 0..<20 { try sidecar.connect().expect(.reset) }
      #expect(names.questions.count == 2)
    }
  }

  @Test func aNameWithoutAddressIsSaidToBeOne() throws {
    let target = try Target()
    let names = try ScriptedNameServer { _ in .reply(.noData()) }
    try withSidecar(to: target, asking: names) { sidecar in
      try sidecar.connect().expect(.reset)
      #expect(try sidecar.waitForLine("connection failed: ")["cause"] == "name_without_address")
      for _ in 0..<20 { try sidecar.connect().expect(.reset) }
      #expect(names.questions.count == 2)
    }
  }

  /// How long it holds that there is nothing, the SOA says.
  @Test func aNameThatIsCreatedIsFoundSoon() throws {
    let target = try Target()
    let names = try ScriptedNameServer { _ in .reply(.noName(ttl: 1)) }
    try withSidecar(to: target, asking: names) { sidecar in
      try sidecar.connect().expect(.reset)
      names.change { .reply($0.addresses("127.0.0.1")) }
      pause(.milliseconds(1100))
      try sidecar.visit(target)
    }
  }

  /// Some servers deny a name that has no address in one family.
  @Test(arguments: [RecordType.a, .aaaa])
  func aDenialForOneFamilyLeavesTheOther(denied: RecordType) throws {
    let target = try Target(on: denied == .a ? .ipv6 : .ipv4)
    let names = try ScriptedNameServer { question in
      .reply(question.type == denied ? .noName() : question.addresses("127.0.0.1", "::1"))
    }
    try withSidecar(to: target, asking: names) { try $0.visit(target) }
  }

  /// Half an answer is better than none, and is not waited for longer than a moment.
  @Test func aFamilyThatIsNeverAnsweredHoldsNobodyUp() throws {
    let target = try Target()
    let names = try ScriptedNameServer { question in
      question.type == .aaaa ? .silence : .reply(question.addresses("127.0.0.1"))
    }
    try withSidecar(to: target, asking: names) { sidecar in
      let took = try timing { try sidecar.visit(target) }
      #expect(took < .milliseconds(450))
    }
  }
}
