// A target behind a name, and how seldom the name servers hear of it.
import Foundation
import Testing

@Suite(.aside)
struct ResolvingTests {
  @Test func aNameIsResolvedAndReached() throws {
    let target = try Target()
    let names = try ScriptedNameServer { .reply($0.addresses("127.0.0.1", ttl: 7)) }
    try withSidecar(to: target, asking: names) { sidecar in
      try sidecar.visit(target)
      let ended = try sidecar.waitForLine("connection ended")
      #expect(ended["target"] == "db.test:\(target.port)")
      #expect(ended["address"] == "127.0.0.1:\(target.port)")
      let resolved = try sidecar.waitForLine("name resolved")
      #expect(resolved.level == "info")
      #expect(resolved["name"] == "db.test")
      #expect(resolved["addresses"] == "127.0.0.1")
      let answer = try sidecar.waitForLine("name server answered") { $0["type"] == "A" }
      #expect(answer.level == "debug")
      #expect(answer["server"] == "127.0.0.1:\(names.port)")
      #expect(answer["answer"] == "127.0.0.1")
      #expect(answer["ttl"] == "7")
      try sidecar.waitForLine("name server answered") { $0["answer"] == "NODATA" }
      #expect(Set(names.questions.map { $0.type }) == [.a, .aaaa])
      #expect(names.questions.allSatisfy { $0.name == "db.test" && $0.hasEDNS })
    }
  }

  @Test(.enabled(if: Loopback.hasIPv6))
  func aNameWithAnIPv6AddressAloneIsReached() throws {
    let target = try Target(on: .ipv6)
    let names = try ScriptedNameServer { .reply($0.addresses("::1")) }
    try withSidecar(to: target, asking: names) { sidecar in
      try sidecar.visit(target)
      #expect(try sidecar.waitForLine("connection ended")["address"] == "[::1]:\(target.port)")
    }
  }

  @Test func aTrailingDotAndCapitalsMakeNoOtherName() throws {
    let target = try Target()
    let names = try ScriptedNameServer { question in
      .reply(question.name == "db.test" ? question.addresses("127.0.0.1") : .noName())
    }
    try withSidecar(
      to: target, asking: names, options: "search example", ["TARGET_HOST": "DB.Test."]
    ) { sidecar in
      try sidecar.visit(target)
      #expect(names.questions.count == 2)
    }
  }

  @Test func connectionsByAFreshAnswerAskNobody() throws {
    let target = try Target()
    let names = try ScriptedNameServer { .reply($0.addresses("127.0.0.1")) }
    try withSidecar(to: target, asking: names) { sidecar in
      for _ in 0..<100 { try sidecar.visit(target) }
      #expect(names.questions.count == 2)
    }
  }

  @Test func clientsThatComeTogetherShareOneLookup() throws {
    let target = try Target()
    let names = try ScriptedNameServer {
      .after(.milliseconds(200), .reply($0.addresses("127.0.0.1")))
    }
    try withSidecar(to: target, asking: names, ["WORKERS": "4"]) { sidecar in
      let clients = try (0..<50).map { _ in try sidecar.connectAndSpeak() }
      for _ in clients { try target.accept().expect("?") }
      #expect(names.questions.count == 2)
    }
  }

  @Test func forwardsToOneNameShareItsLookup() throws {
    let (writer, reader) = (try Target(), try Target())
    let (first, second) = (try ReservedPort(), try ReservedPort())
    let names = try ScriptedNameServer { .reply($0.addresses("127.0.0.1")) }
    let forwards =
      "\(first.number)=db.test:\(writer.port),\(second.number)=DB.test:\(reader.port)"
    try withSidecar(asking: names, ["FORWARDS": forwards]) { sidecar in
      for (port, target) in [(first, writer), (second, reader)] {
        let client = try Peer(connectingTo: port.number)
        try pingPong(client, target.accept())
      }
      #expect(names.questions.count == 2)
    }
  }

  @Test func forwardsToSeveralNamesEachHaveTheirOwn() throws {
    let port = try Target()
    let other = try Target(on: .otherIPv4, port: port.port)
    let (first, second) = (try ReservedPort(), try ReservedPort())
    let names = try ScriptedNameServer { question in
      .reply(question.addresses(question.name == "one.test" ? "127.0.0.1" : "127.0.0.2"))
    }
    let forwards =
      "\(first.number)=one.test:\(port.port),\(second.number)=two.test:\(port.port)"
    try withSidecar(asking: names, ["FORWARDS": forwards]) { sidecar in
      try pingPong(Peer(connectingTo: second.number), other.accept())
      try pingPong(Peer(connectingTo: first.number), port.accept())
      #expect(names.questions.count == 4)
    }
  }

  @Test func literalAddressesAndLocalhostAskNobody() throws {
    let target = try Target()
    let names = try ScriptedNameServer { .reply($0.addresses("127.0.0.3")) }
    let hosts = ["127.0.0.1", "localhost", "LOCALHOST.", "db.localhost"]
    let ports = try hosts.map { _ in try ReservedPort() }
    let forwards = zip(ports, hosts).map { "\($0.number)=\($1):\(target.port)" }
    try withSidecar(asking: names, ["FORWARDS": forwards.joined(separator: ",")]) { sidecar in
      for port in ports { try pingPong(Peer(connectingTo: port.number), target.accept()) }
      #expect(names.questions.isEmpty)
    }
  }

  // MARK: Aliases

  @Test func aChainOfAliasesHoldsForTheShortestOfItsTimes() throws {
    let target = try Target()
    let names = try ScriptedNameServer { question in
      var reply = question.addresses()
      reply.authority = []
      reply.answers = [
        .alias(to: "a.test", ttl: 50), .alias(of: "a.test", to: "b.example", ttl: 9),
        .alias(of: "b.example", to: "C.example", ttl: 30),
      ]
      if question.type == .a {
        reply.answers.append(.address("127.0.0.1", ttl: 20, owner: "c.EXAMPLE"))
        reply.answers.shuffle()
      }
      return .reply(reply)
    }
    try withSidecar(to: target, asking: names) { sidecar in
      try sidecar.visit(target)
      let line = try sidecar.waitForLine("name server answered") { $0["type"] == "A" }
      #expect(line["answer"] == "127.0.0.1")
      #expect(line["ttl"] == "9")
    }
  }

  // MARK: Times to live

  /// Zero and what has the highest bit set (RFC 2181, section 8) hold for the least time there is.
  @Test(arguments: [UInt32(0), 1 << 31, .max])
  func aTimeToLiveOfNothingIsASecond(ttl: UInt32) throws {
    let target = try Target()
    let names = try ScriptedNameServer { .reply($0.addresses("127.0.0.1", ttl: ttl)) }
    try withSidecar(to: target, asking: names) { sidecar in
      let start = ContinuousClock.now
      var visits = 0
      while ContinuousClock.now - start < .milliseconds(1300) {
        try sidecar.visit(target)
        visits += 1
      }
      // The first, and one for each 0.8 s, in which it is renewed.
      let lookups = Int((ContinuousClock.now - start) / .milliseconds(800)) + 1
      #expect(names.questions.count >= 4)
      #expect(names.questions.count <= 2 * lookups)
      #expect(visits > lookups)
      let line = try sidecar.waitForLine("name server answered") { $0["type"] == "A" }
      #expect(line["ttl"] == "0")
    }
  }

  @Test func theLongestTimeToLiveHarmsNobody() throws {
    let target = try Target()
    let names = try ScriptedNameServer { .reply($0.addresses("127.0.0.1", ttl: .max >> 1)) }
    try withSidecar(to: target, asking: names) { sidecar in
      for _ in 0..<20 { try sidecar.visit(target) }
      #expect(names.questions.count == 2)
    }
  }

  // MARK: Idle

  /// The answer is looked up once more, because it was used, and then never again.
  @Test func anIdleDaemonAsksNobody() throws {
    let target = try Target()
    let names = try ScriptedNameServer { .reply($0.addresses("127.0.0.1", ttl: 1)) }
    try withSidecar(to: target, asking: names) { sidecar in
      pause(.milliseconds(300))
      #expect(names.questions.isEmpty)
      let (client, upstream) = try sidecar.connectAndTalk(to: target)
      try names.waitForQuestions(4)
      pause(.milliseconds(2500))
      // A connection that is open but needs no address is no reason to ask.
      #expect(names.questions.count == 4)
      try pingPong(client, upstream)
      try sidecar.visit(target)
      #expect(names.questions.count == 6)
    }
  }
}
