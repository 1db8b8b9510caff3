// What comes from name servers may be a lie, an accident or an attack. None of it may lead a client
// to a wrong address, end the daemon, or keep the right answer behind it from being used.
import Foundation
import Testing

/// Something that is no answer to the question, and names an address that nobody must connect to.
enum Lie: String, CaseIterable, Sendable {
  case wrongID, wrongName, wrongType, wrongOwner, noAnswerBit, fromElsewhere
  case empty, headerAlone, cutInTheQuestion, cutInTheRecord, garbage, tooManyRecords
  case recordBeyondTheEnd, pointerToItself, pointerForward, pointersInACircle, endlessName
  case addressOfFiveBytes, oversized, foreignAlias, wrongCase

  func reaction(_ question: Question, _ address: String) -> Reaction {
    var reply = question.addresses(address)
    let evil = Record.address(address, ttl: 60)
    reply.answers = [evil]
    reply.authority = []
    let honest = reply.bytes(to: question)
    let afterQuestion = wireName(question.name).count + 16
    switch self {
    case .wrongID: reply.id = question.id &+ 1
    case .wrongName:
      reply.name = "db.tesu"
      reply.answers = [.address(address, ttl: 60, owner: question.name)]
    case .wrongType: reply.type = question.type == .a ? .aaaa : .a
    case .wrongOwner: reply.answers = [.address(address, ttl: 60, owner: "evil.test")]
    case .noAnswerBit: reply.isQuestion = true
    case .fromElsewhere: return .fromElsewhere(reply)
    case .empty: return .bytes([])
    case .headerAlone: return .bytes(Array(honest.prefix(12)))
    case .cutInTheQuestion: return .bytes(Array(honest.prefix(16)))
    case .cutInTheRecord: return .bytes(Array(honest.dropLast(2)))
    case .garbage: return .bytes((0..<300).map { UInt8(truncatingIfNeeded: $0 &* 73 &+ 41) })
    case .tooManyRecords: reply.answerCount = 65535
    case .recordBeyondTheEnd: return .bytes(honest.replacing(at: afterQuestion + 10, [0xff, 0xff]))
    case .pointerToItself:
      return .bytes(honest.replacing(at: afterQuestion, pointer(afterQuestion)))
    case .pointerForward:
      return .bytes(honest.replacing(at: afterQuestion, pointer(afterQuestion + 12)))
    case .pointersInACircle:
      // The owner points to the data, which points to itself by way of what follows it.
      let owner = honest.replacing(at: afterQuestion, pointer(afterQuestion + 12))
      let circle = pointer(afterQuestion + 14) + pointer(afterQuestion + 12)
      return .bytes(Array(owner.prefix(afterQuestion + 12)) + circle)
    case .endlessName:
      let label = [UInt8(63)] + [UInt8](repeating: UInt8(ascii: "a"), count: 63)
      let name = (0..<5).flatMap { _ in label }
      return .bytes(
        Array(honest.prefix(afterQuestion)) + name + Array(honest.dropFirst(afterQuestion + 2)))
    case .addressOfFiveBytes:
      reply.answers = [Record(type: question.type, ttl: 60, data: [127, 0, 0, 3, 3])]
    case .oversized: reply.answers = (0..<400).map { _ in evil }
    case .foreignAlias:
      reply.answers = [
        .alias(of: "other.test", to: "evil.test"), .address(address, ttl: 60, owner: "evil.test"),
      ]
    case .wrongCase:
      // Not a lie about the name, which has no case; but about the id.
      reply.name = question.name.uppercased()
      reply.id = question.id ^ 0xff
    }
    return .reply(reply)
  }

  private func pointer(_ offset: Int) -> [UInt8] { UInt16(0xc000 | offset).bytes }
}

extension [UInt8] {
  fileprivate func replacing(at offset: Int, _ bytes: [UInt8]) -> [UInt8] {
    Array(self[..<offset] + bytes + self[(offset + bytes.count)...])
  }
}

@Suite(.aside)
struct LyingServerTests {
  /// Where the truth leads, and where a lie would; both listen.
  private func targets() throws -> (right: Target, wrong: Target) {
    let right = try Target()
    return (right, try Target(on: .thirdIPv4, port: right.port))
  }

  @Test(arguments: Lie.allCases)
  func theRightAnswerBehindALieIsUsed(lie: Lie) throws {
    let (right, wrong) = try targets()
    let names = try ScriptedNameServer { question in
      let truth = Reaction.reply(question.addresses("127.0.0.1"))
      return .all([lie.reaction(question, "127.0.0.3"), .after(.milliseconds(30), truth)])
    }
    try withSidecar(to: right, asking: names) { sidecar in
      try sidecar.visit(right)
      #expect(!wrong.isBeingCalled)
      #expect(try sidecar.waitForLine("connection ended")["connection"] == "1")
    }
  }

  @Test(arguments: Lie.allCases)
  func aLieAloneLeadsNowhere(lie: Lie) throws {
    let (right, wrong) = try targets()
    let names = try ScriptedNameServer { lie.reaction($0, "127.0.0.3") }
    try withSidecar(to: right, asking: names, ["CONNECT_TIMEOUT": "600ms"]) { sidecar in
      let span = try timing { try sidecar.connect().expect(.reset) }
      #expect(span < .seconds(5))
      #expect(!wrong.isBeingCalled && !right.isBeingCalled)
      let cause = try sidecar.waitForLine("connection failed: ")["cause"]
      #expect(cause == "name_servers_failed")
      names.change { .reply($0.addresses("127.0.0.1")) }
      try sidecar.waitUntilServed(by: right)
    }
  }

  @Test func aLieFromTheServerThatIsAskedFirstIsOutvotedByTheNext() throws {
    let (right, wrong) = try targets()
    let names = try ScriptedNameServer(on: [.ipv4, .otherIPv4]) { question in
      question.server == .ipv4
        ? Lie.cutInTheRecord.reaction(question, "127.0.0.3")
        : .reply(question.addresses("127.0.0.1"))
    }
    try withSidecar(to: right, asking: names) { sidecar in
      let span = try timing { try sidecar.visit(right) }
      #expect(span < .seconds(3))
      #expect(!wrong.isBeingCalled)
    }
  }

  /// Guessing ids: 60 messages with wrong ones before the right one, in one burst.
  @Test func aBurstOfGuessesIsWaitedOut() throws {
    let (right, wrong) = try targets()
    let names = try ScriptedNameServer { question in
      var guess = question.addresses("127.0.0.3")
      let guesses = (1...60).map { number -> Reaction in
        guess.id = question.id &+ UInt16(number)
        return .reply(guess)
      }
      return .all(guesses + [.after(.milliseconds(20), .reply(question.addresses("127.0.0.1")))])
    }
    try withSidecar(to: right, asking: names) { sidecar in
      try sidecar.visit(right)
      #expect(!wrong.isBeingCalled)
      #expect(sidecar.messages.contains { $0["answer"] == "ignored" })
    }
  }

  @Test func idsAndPortsAreNotToBeGuessed() throws {
    let target = try Target()
    let names = try ScriptedNameServer { .reply($0.addresses("127.0.0.1", ttl: 0)) }
    try withSidecar(to: target, asking: names) { sidecar in
      while names.questions.count < 8 { try sidecar.visit(target) }
      let (ids, ports) = (names.questions.map { $0.id }, names.questions.map { $0.port })
      #expect(Set(ids).count >= ids.count - 1)
      #expect(Set(ports).count >= ports.count - 2)
      let steps = zip(ids, ids.dropFirst()).map { $1 &- $0 }
      #expect(Set(steps).count > steps.count / 2)
    }
  }

  @Test func everyAnswerTwiceIsNoHarm() throws {
    let target = try Target()
    let names = try ScriptedNameServer { question in
      let answer = Reaction.reply(question.addresses("127.0.0.1", ttl: 0))
      return .all([answer, answer, .after(.milliseconds(50), answer)])
    }
    try withSidecar(to: target, asking: names) { sidecar in
      while names.questions.count < 6 { try sidecar.visit(target) }
      #expect(sidecar.count(of: "connection failed") == 0)
    }
  }

  // MARK: Aliases that lead nowhere

  @Test(arguments: [1, 2, 200])
  func aliasesInACircleOrWithoutEndAreGivenUp(steps: Int) throws {
    let target = try Target()
    let names = try ScriptedNameServer { question in
      var reply = Reply()
      reply.answers = (0..<steps).map { step in
        let next = steps == 200 ? step + 1 : (step + 1) % steps
        let owner = step == 0 ? question.name : "n\(step)"
        return .alias(of: owner, to: next == 0 ? question.name : "n\(next)")
      }
      if steps == 200 { reply.answers.append(.address("127.0.0.1", ttl: 60, owner: "n200")) }
      // More than a datagram holds.
      if question.transport == .udp && steps == 200 { return .reply(.truncated) }
      return .reply(reply)
    }
    try withSidecar(to: target, asking: names, ["CONNECT_TIMEOUT": "1s"]) { sidecar in
      let span = try timing { try sidecar.connect().expect(.reset) }
      #expect(span < .seconds(5))
      let line = try sidecar.waitForLine("name lookup failed")
      #expect(line["cause"] == "name_servers_failed")
      #expect(line["servers"] == "127.0.0.1:\(names.port) malformed")
      #expect(!target.isBeingCalled)
    }
  }

  // MARK: Noise

  /// Bytes that are changed at random behind a right id, in messages without an address in them.
  @Test(arguments: [UInt64(1), 2, 3])
  func noiseIsSurvived(seed: UInt64) throws {
    let right = try Target()
    let state = Shared(seed &* 0x9e37_79b9_7f4a_7c15)
    let names = try ScriptedNameServer { question in
      let honest = Reply.noData().bytes(to: question)
      let noise = (0..<40).map { _ -> Reaction in
        var bytes = honest
        for _ in 0...Int(state.next() % 8) {
          bytes[2 + Int(state.next() % UInt64(bytes.count - 2))] = UInt8(state.next() & 0xff)
        }
        return .bytes(Array(bytes.prefix(Int(state.next() % UInt64(bytes.count + 1)))))
      }
      return .all(noise)
    }
    try withSidecar(to: right, asking: names, ["CONNECT_TIMEOUT": "300ms"]) { sidecar in
      for _ in 0..<3 { try sidecar.connect().expect(.reset) }
      names.change { .reply($0.addresses("127.0.0.1", ttl: 1)) }
      try sidecar.waitUntilServed(by: right)
    }
  }
}

extension Shared<UInt64> {
  /// xorshift64.
  fileprivate func next() -> UInt64 {
    var result: UInt64 = 0
    update { state in
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      result = state
    }
    return result
  }
}
