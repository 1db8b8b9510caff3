// What is told of addresses that change, and which of them connections may stay with.
import Testing

@testable import Core

@Suite struct NameChangeTests {
  private func changed(_ from: [UInt8], _ to: [UInt8], unsaid: UInt64 = 0) -> NameEvent {
    .changed(
      from: from.map { address(.ipv4, $0) }, to: to.map { address(.ipv4, $0) }, unsaid: unsaid)
  }

  private func ask(_ script: inout RecordScript) {
    script.pass(2000)
    script.demand()
  }

  @Test func theFirstAnswerIsToldWithNothingBefore() {
    var script = RecordScript()
    script.demand()
    script.answer(1)
    #expect(script.takeTold() == [changed([], [1])])
  }

  @Test func anotherAddressIsTold() {
    var script = RecordScript.answered(ttl: 1)
    ask(&script)
    script.answer(ttl: 1, 2)
    #expect(script.takeTold() == [changed([1], [2])])
  }

  @Test func theSameAddressesInAnotherOrderAreNoChange() {
    var script = RecordScript.answered(ttl: 1)
    ask(&script)
    script.answer(ttl: 1, 2, 1)
    #expect(script.takeTold() == [changed([1], [2, 1])])
    ask(&script)
    script.answer(ttl: 1, 1, 2)
    #expect(script.takeTold() == [])
  }

  @Test func anAddressThatIsGoneIsAChange() {
    var script = RecordScript()
    script.demand()
    script.answer(ttl: 1, 1, 2)
    _ = script.takeTold()
    ask(&script)
    script.answer(ttl: 1, 2)
    #expect(script.takeTold() == [changed([1, 2], [2])])
  }

  /// Each time one family comes later than the 50 ms that it is waited for.
  @Test func aFamilyThatIsLateIsNoChange() {
    var script = RecordScript()
    script.demand()
    script.answer(.ipv4, ttl: 1, 1)
    script.answer(.ipv6, ttl: 1, 1)
    _ = script.takeTold()
    for _ in 0..<3 {
      ask(&script)
      script.answer(.ipv4, ttl: 1, 1)
      script.pass(100)
      #expect(script.record.answer.addresses == [address(.ipv4, 1)])
      script.answer(.ipv6, ttl: 1, 1)
      #expect(script.record.answer.addresses == [address(.ipv6, 1), address(.ipv4, 1)])
    }
    #expect(script.takeTold() == [])
  }

  @Test func aFamilyThatFailsIsNoChange() {
    var script = RecordScript()
    script.demand()
    script.answer(.ipv4, ttl: 1, 1)
    script.answer(.ipv6, ttl: 1, 1)
    _ = script.takeTold()
    ask(&script)
    script.answer(.ipv4, ttl: 1, 1)
    script.receive(.ipv6) { $0.flags |= Code.refused }
    script.run()
    #expect(script.record.answer.addresses == [address(.ipv4, 1)])
    #expect(script.takeTold() == [])
  }

  @Test func manyChangesAreToldInFew() {
    var script = RecordScript()
    var told: [NameEvent] = []
    // Every 2 s another address, for 100 s.
    for last in UInt8(1)...50 {
      ask(&script)
      script.answer(ttl: 1, last)
      told += script.takeTold()
    }
    #expect(told.prefix(5).map { $0 } == (0..<5).map { changed($0 == 0 ? [] : [$0], [$0 + 1]) })
    #expect(told.count == 6)
    guard case .changed(_, _, let unsaid) = told.last else { return }
    #expect(unsaid > 20)
  }

  // MARK: Addresses that are gone

  @Test func oneAnswerWithoutAnAddressDoesNotRetireIt() {
    var script = RecordScript.answered(ttl: 1)
    ask(&script)
    script.answer(ttl: 1, 2)
    #expect(script.retirements == 0)
    #expect(script.record.lasting == [1, 2].map { address(.ipv4, $0) })
    ask(&script)
    script.answer(ttl: 1, 1)
    #expect(script.retirements == 0)
  }

  @Test func twoWholeAnswersWithoutAnAddressRetireIt() {
    var script = RecordScript.answered(ttl: 1)
    ask(&script)
    script.answer(ttl: 1, 2)
    ask(&script)
    #expect(script.answer(ttl: 1, 2).prefix(2) == ["publish", "retire"])
    #expect(script.record.lasting.allSatisfy { $0 == address(.ipv4, 2) })
    ask(&script)
    script.answer(ttl: 1, 2)
    #expect(script.retirements == 1)
  }

  @Test func answersThatAreNotWholeRetireNothing() {
    var script = RecordScript()
    script.demand()
    script.answer(.ipv4, ttl: 1, 1)
    script.answer(.ipv6, ttl: 1, 1)
    for _ in 0..<3 {
      ask(&script)
      script.answer(.ipv4, ttl: 1, 2)
      script.pass(100)
      script.receive(.ipv6) { $0.flags |= Code.refused }
      script.run()
      #expect(script.record.answer.addresses == [address(.ipv4, 2)])
    }
    #expect(script.retirements == 0)
    #expect(script.record.lasting == [address(.ipv6, 1), address(.ipv4, 1)])
  }

  @Test func neitherAnOutageNorADenialRetiresAnything() {
    var script = RecordScript.answered(ttl: 1)
    for code in [Code.refused, Code.noName, Code.noName, Code.noName] {
      ask(&script)
      script.say(code)
    }
    #expect(script.retirements == 0)
  }

  @Test func addressesThatTakeTurnsAreNotRetired() {
    var script = RecordScript.answered(ttl: 1)
    for last in [2, 1, 2, 1] as [UInt8] {
      ask(&script)
      script.answer(ttl: 1, last)
    }
    #expect(script.retirements == 0)
  }
}
