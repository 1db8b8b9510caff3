// How questions travel: by UDP, by TCP where an answer is too long, over IPv6, and one by one.
import Foundation
import Testing

@Suite(.aside)
struct TransportTests {
  /// By UDP, every answer is too long; by TCP, `reaction`.
  private func withTCP(
    _ settings: [String: String] = [:], on addresses: [Loopback] = [.ipv4],
    _ reaction: @escaping ScriptedNameServer.Script,
    _ body: (Sidecar, Target, ScriptedNameServer) throws -> Void
  ) throws {
    let target = try Target()
    let names = try ScriptedNameServer(on: addresses) { question in
      question.transport == .udp ? .reply(.truncated) : reaction(question)
    }
    try withSidecar(to: target, asking: names, settings) { try body($0, target, names) }
  }

  @Test func whatIsTooLongForADatagramIsAskedByTCP() throws {
    let many = (0..<4000).map { "127.1.\($0 / 250).\($0 % 250 + 1)" }
    let answer: ScriptedNameServer.Script = { question in
      // 127.0.0.1 first; of the others, 31 are kept at most, and none is tried before it.
      .reply(question.addresses(["127.0.0.1"] + many))
    }
    try withTCP([:], answer) { sidecar, target, names in
      try sidecar.visit(target)
      let types = names.questions.map { "\($0.transport) \($0.type)" }
      #expect(types.sorted() == ["tcp a", "tcp aaaa", "udp a", "udp aaaa"])
    }
  }

  @Test func anAnswerThatTricklesIsPutTogether() throws {
    try withTCP(
      [:], { .trickle($0.addresses("127.0.0.1"), pause: .milliseconds(5)) }
    ) { sidecar, target, names in
      try sidecar.visit(target)
      #expect(names.questions.count == 4)
    }
  }

  /// A byte at a time for as long as it lasts: the next server is asked, and nobody waits longer
  /// than CONNECT_TIMEOUT.
  @Test func anAnswerThatTricklesForEverIsGivenUp() throws {
    let slow = Duration.milliseconds(200)
    try withTCP(
      ["CONNECT_TIMEOUT": "2s"], { .trickle($0.addresses("127.0.0.1"), pause: slow) }
    ) { sidecar, target, names in
      let took = try timing { try sidecar.connect().expect(.reset) }
      #expect(took < .milliseconds(2500))
      #expect(
        try sidecar.waitForLine("name lookup failed")["servers"]
          == "127.0.0.1:\(names.port) no answer")
    }
  }

  /// In its length, in its header, in the middle, and before its last byte.
  @Test(arguments: [0, 1, 2, 9, 30, 46])
  func anAnswerThatBreaksOffIsHadFromTheNext(bytes: Int) throws {
    let answer: ScriptedNameServer.Script = { question in
      let reply = question.addresses("127.0.0.1")
      return question.server == .ipv4 ? .breakOff(reply, after: bytes) : .reply(reply)
    }
    try withTCP([:], on: [.ipv4, .otherIPv4], answer) { sidecar, target, names in
      let took = try timing { try sidecar.visit(target) }
      #expect(took < .seconds(2))
    }
  }

  @Test func anAnswerThatBreaksOffEachTimeIsSaid() throws {
    try withTCP(
      ["CONNECT_TIMEOUT": "1s"], { .breakOff($0.addresses("127.0.0.1"), after: 20) }
    ) { sidecar, target, names in
      try sidecar.connect().expect(.reset)
      #expect(
        try sidecar.waitForLine("name lookup failed")["servers"]
          == "127.0.0.1:\(names.port) broke off")
    }
  }

  /// By TCP nothing is too long: an answer that says so is none.
  @Test func anAnswerThatIsTruncatedByTCPTooIsNone() throws {
    try withTCP(["CONNECT_TIMEOUT": "1s"], { _ in .reply(.truncated) }) { sidecar, _, _ in
      let took = try timing { try sidecar.connect().expect(.reset) }
      #expect(took < .milliseconds(1500))
      #expect(try sidecar.waitForLine("connection failed")["cause"] == "name_servers_failed")
    }
  }

  @Test func aForgedAnswerByTCPIsWaitedOut() throws {
    try withTCP(
      [:],
      { question in
        var forged = question.addresses("127.0.0.3")
        forged.id = question.id &+ 1
        return .all([.reply(forged), .bytes([]), .reply(question.addresses("127.0.0.1"))])
      }
    ) { sidecar, target, _ in try sidecar.visit(target) }
  }

  @Test func useVCAsksByTCPAlone() throws {
    let target = try Target()
    let names = try ScriptedNameServer { .reply($0.addresses("127.0.0.1")) }
    try withSidecar(to: target, asking: names, options: "options use-vc") { sidecar in
      try sidecar.visit(target)
      #expect(names.questions.allSatisfy { $0.transport == .tcp })
    }
  }

  // MARK: IPv6

  @Test(.enabled(if: Loopback.hasIPv6), arguments: [false, true])
  func aServerOnIPv6IsAsked(byTCP: Bool) throws {
    let target = try Target()
    let names = try ScriptedNameServer(on: [.ipv6]) { question in
      let isTooLong = byTCP && question.transport == .udp
      return .reply(isTooLong ? .truncated : question.addresses("127.0.0.1"))
    }
    try withSidecar(to: target, asking: names) { sidecar in
      try sidecar.visit(target)
      let line = try sidecar.waitForLine("name server answered") { $0["answer"] == "127.0.0.1" }
      #expect(line["server"] == "[::1]:\(names.port)")
    }
  }

  // MARK: One by one

  @Test(arguments: ["single-request", "single-request-reopen"])
  func singleRequestsAreAskedOneAfterTheOther(option: String) throws {
    let target = try Target()
    let answered = Shared<[ContinuousClock.Instant]>([])
    let names = try ScriptedNameServer { question in
      pause(.milliseconds(150))
      answered.update { $0.append(.now) }
      return .reply(question.addresses("127.0.0.1"))
    }
    try withSidecar(to: target, asking: names, options: "options \(option)") { sidecar in
      try sidecar.visit(target)
      #expect(names.questions.map { $0.type } == [.a, .aaaa])
      #expect(names.questions[1].time > answered.value[0])
    }
  }

  @Test func withoutTheOptionBothAreAskedAtOnce() throws {
    let target = try Target()
    let names = try ScriptedNameServer {
      .after(.milliseconds(200), .reply($0.addresses("127.0.0.1")))
    }
    try withSidecar(to: target, asking: names) { sidecar in
      try sidecar.visit(target)
      let times = names.questions.map { $0.time }
      #expect(times.count == 2 && times[1] - times[0] < .milliseconds(150))
    }
  }

  @Test func noAAAAAsksForIPv4Alone() throws {
    let target = try Target()
    let names = try ScriptedNameServer { .reply($0.addresses("127.0.0.1")) }
    try withSidecar(to: target, asking: names, options: "options no-aaaa") { sidecar in
      try sidecar.visit(target)
      #expect(names.questions.map { $0.type } == [.a])
    }
  }
}
