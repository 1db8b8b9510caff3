// Lookups that take another way: TCP, plain questions, one family after the other, search lists;
// and answers that are not believed.
import Testing

@testable import Core

@Suite struct LookupDetourTests {
  private static let onlyIPv4 = "options no-aaaa\n"

  // MARK: Servers that cannot read OPT records

  @Test(arguments: [Code.formatError, Code.notImplemented])
  func whoCannotReadAnOptionIsAskedPlainlyAtOnce(code: UInt16) {
    var script = LookupScript(servers: 2, Self.onlyIPv4)
    _ = script.steps()
    let first = script.id(.ipv4, 1)
    script.answer(.ipv4, code: code)
    #expect(script.steps() == ["A 1 plain", "wait 500"])
    #expect(script.id(.ipv4, 1) != first)
    script.answer(.ipv4, 1)
    #expect(script[.ipv4] == .addresses([address(.ipv4, 1)], ttl: 60))
  }

  @Test func anExtendedCodeIsAReasonToAskPlainly() {
    var script = LookupScript(servers: 1, Self.onlyIPv4)
    _ = script.steps()
    var badVersion = script.writer(.ipv4, from: 1)
    badVersion.additionals = [.opt(extendedCode: 1)]
    #expect(script.receive(.ipv4, from: 1, badVersion) == .fault(.code(16)))
    #expect(script.steps() == ["A 1 plain", "wait 500"])
  }

  @Test func thatAServerCannotReadOptionsIsRemembered() {
    var script = LookupScript()
    _ = script.steps()
    script.answer(.ipv4, code: Code.formatError)
    _ = script.steps()
    var next = LookupScript(script.servers)
    #expect(next.steps() == ["AAAA 1 plain", "A 1 plain", "wait 500"])
  }

  @Test func whoCannotReadAPlainQuestionEitherIsNotAskedAgain() {
    var script = LookupScript(servers: 2, Self.onlyIPv4)
    _ = script.steps()
    script.answer(.ipv4, code: Code.formatError)
    _ = script.steps()
    script.answer(.ipv4, code: Code.formatError)
    #expect(script.steps() == ["A 2", "wait 500"])
    script.answer(.ipv4, from: 2, code: Code.refused)
    #expect(script.steps() == ["done"])
  }

  /// It is older than the plain question that has gone out meanwhile.
  @Test func aLateWordAgainstTheOptionIsNotHeldAgainstThePlainQuestion() {
    var script = LookupScript(servers: 1, Self.onlyIPv4)
    _ = script.steps()
    script.pass(500)
    #expect(script.steps() == ["A 1 again plain", "wait 1500"])
    script.pass(100)
    script.answer(.ipv4, code: Code.formatError)
    #expect(script.steps() == ["wait 1500"])
    script.pass(500)
    script.answer(.ipv4, 1)
    #expect(script.steps() == ["done"])
    #expect(script[.ipv4] == .addresses([address(.ipv4, 1)], ttl: 60))
  }

  // MARK: TCP

  @Test func whatDoesNotFitADatagramIsAskedByTCPAtOnce() {
    var script = LookupScript(servers: 2, Self.onlyIPv4)
    _ = script.steps()
    let first = script.id(.ipv4, 1)
    #expect(script.truncate(.ipv4) == .truncated)
    #expect(script.steps() == ["A 1 tcp", "wait 2000"])
    #expect(script.id(.ipv4, 1) != first)
    script.answer(.ipv4, 1, 2, 3)
    #expect(script[.ipv4] == .addresses([1, 2, 3].map { address(.ipv4, $0) }, ttl: 60))
  }

  @Test func theNextServerIsAskedWhenTCPBreaksOff() {
    var script = LookupScript(servers: 2, Self.onlyIPv4)
    _ = script.steps()
    script.truncate(.ipv4)
    _ = script.steps()
    script.pass(700)
    script.fail(.ipv4, .brokenOff)
    #expect(script.steps() == ["A 2", "wait 1200"])
    #expect(script.words == ["1 brokenOff", "2 noAnswer"])
  }

  @Test func theNextServerIsAskedWhenTCPTrickles() {
    var script = LookupScript(servers: 2, Self.onlyIPv4)
    _ = script.steps()
    script.truncate(.ipv4)
    _ = script.steps()
    script.pass(2000)
    #expect(script.steps() == ["A 2", "wait 2500"])
    script.pass(100)
    script.answer(.ipv4, from: 1, 1)
    #expect(script[.ipv4] == .addresses([address(.ipv4, 1)], ttl: 60))
  }

  @Test func theOnlyServerIsAskedByTCPAgainWhenItBreaksOff() {
    var script = LookupScript(servers: 1, Self.onlyIPv4)
    _ = script.steps()
    script.truncate(.ipv4)
    _ = script.steps()
    script.fail(.ipv4, .brokenOff)
    #expect(script.steps() == ["wait 500"])
    script.pass(500)
    #expect(script.steps() == ["A 1 tcp plain", "wait 4500"])
  }

  @Test func anAnswerByTCPCannotBeTruncated() {
    var script = LookupScript(servers: 2, Self.onlyIPv4)
    _ = script.steps()
    script.truncate(.ipv4)
    _ = script.steps()
    #expect(script.truncate(.ipv4) == .fault(.malformed))
    #expect(script.steps() == ["A 2", "wait 500"])
  }

  @Test func useVcAsksByTCPFromTheStart() {
    var script = LookupScript(servers: 1, "options use-vc\n")
    #expect(script.steps() == ["AAAA 1 tcp", "A 1 tcp", "wait 2000"])
    let slot = slot(.ipv4, 1)
    let message = script.lookup.message(of: slot)
    #expect(Int(message[0]) << 8 | Int(message[1]) == message.count - 2)
  }

  // MARK: What is not believed

  @Test func anAnswerUnderAnotherIDIsNoise() {
    var script = LookupScript()
    _ = script.steps()
    var forged = script.writer(.ipv4, from: 1, [.a("db.example", 0x0606_0606)])
    forged.id &+= 1
    #expect(script.receive(.ipv4, from: 1, forged) == .notOurs)
    forged.id = script.id(.ipv6, 1)
    #expect(script.receive(.ipv4, from: 1, forged) == .notOurs)
    #expect(script[.ipv4] == nil)
    #expect(script.steps() == ["wait 500"])
  }

  @Test func anAnswerToAnotherQuestionIsNoise() {
    var script = LookupScript()
    _ = script.steps()
    var forged = script.writer(.ipv4, from: 1, [.a("db.example", 0x0606_0606)])
    forged.questions = [.init(name: "other.example", type: 1)]
    #expect(script.receive(.ipv4, from: 1, forged) == .notOurs)
    forged.questions = [.init(name: "db.example", type: 28)]
    #expect(script.receive(.ipv4, from: 1, forged) == .notOurs)
    script.answer(.ipv4, 1)
    #expect(script[.ipv4] == .addresses([address(.ipv4, 1)], ttl: 60))
  }

  @Test func anAnswerOfAServerThatWasNotAskedIsNoise() {
    var script = LookupScript(servers: 2)
    _ = script.steps()
    let forged = script.writer(.ipv4, from: 1, [.a("db.example", 0x0606_0606)])
    #expect(script.receive(.ipv4, from: 2, forged) == .notOurs)
  }

  @Test func theSecondAnswerToAQuestionChangesNothing() {
    var script = LookupScript()
    _ = script.steps()
    script.answer(.ipv4, 1)
    #expect(script.answer(.ipv4, 2) == .notOurs)
    #expect(script[.ipv4] == .addresses([address(.ipv4, 1)], ttl: 60))
    script.fail(.ipv4, .unreachable)
    #expect(script[.ipv4] == .addresses([address(.ipv4, 1)], ttl: 60))
  }

  @Test func anAddressOfAnotherOwnerIsNotTaken() {
    var script = LookupScript()
    _ = script.steps()
    let answer = script.writer(.ipv4, from: 1, [.a("other.example", 0x0606_0606)])
    #expect(script.receive(.ipv4, from: 1, answer) == .fault(.malformed))
  }

  // MARK: One family at a time

  @Test func aSingleRequestAsksForIPv4First() {
    var script = LookupScript(servers: 1, "options single-request\n")
    #expect(script.steps() == ["A 1", "wait 500"])
    script.pass(5)
    script.answer(.ipv4, 1)
    #expect(script.steps() == ["AAAA 1", "wait 255"])
    script.answer(.ipv6, 1)
    #expect(script.steps() == ["done"])
  }

  @Test func aSingleRequestGoesOnAtOnceWhenNobodySaysTheFirst() {
    var script = LookupScript(servers: 1, "options single-request\n")
    _ = script.steps()
    script.answer(.ipv4, code: Code.refused)
    #expect(script.steps() == ["AAAA 1", "wait 500"])
  }

  @Test func aSingleRequestEndsWithinTheLimitToo() {
    var script = LookupScript(servers: 1, "options single-request\n")
    #expect(script.stepsUntilDone().last == "done @10000")
  }

  @Test func noAAAALeavesIPv6Out() {
    var script = LookupScript(servers: 1, Self.onlyIPv4)
    #expect(script.steps() == ["A 1", "wait 500"])
    script.answer(.ipv4, code: Code.noName)
    #expect(script.steps() == ["done"])
    #expect(!script.lookup.someNameExists)
    #expect(script.words == ["1 noName"])
  }
}
