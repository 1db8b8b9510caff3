// What stands in while no name server answers, and what is kept of names that do not exist.
import Testing

@testable import Core

@Suite struct NameOutageTests {
  // MARK: No server answers

  @Test func theLastGoodAnswerStandsInWhenAllServersFail() {
    var script = RecordScript.answered(ttl: 5, servers: 2)
    script.pass(6000)
    script.demand()
    #expect(script.say(Code.refused).last == "wait 10000")
    let answer = script.record.answer
    #expect(script.addresses == [1])
    #expect(answer.isStale)
    #expect(answer.failure == nil)
    #expect(answer.startedAt == script.now)
    #expect(answer.freshUntil == script.now + .seconds(5))
    #expect(answer.usableUntil == script.start + .seconds(5 + 600))
    #expect(script.takeTold() == [.stale(since: .seconds(6))])
    #expect(
      script.words == ["1 fault(Core.ServerFault.refused)", "2 fault(Core.ServerFault.refused)"])
  }

  /// Not with when it failed: a client that wants something newer would take it for that.
  @Test func whatStandsInIsDatedWithTheLookupThatFailed() {
    var script = RecordScript.answered(ttl: 1)
    script.pass(2000)
    script.demand()
    script.pass(400)
    script.say(Code.refused)
    #expect(script.record.answer.isStale)
    #expect(script.record.answer.startedAt == script.start + .seconds(2))
  }

  @Test func anOutageIsToldOnce() {
    var script = RecordScript.answered(ttl: 5)
    for _ in 0..<20 {
      script.pass(6000)
      script.demand()
      script.say(Code.serverFailure)
      script.pass(10_000)
    }
    #expect(script.record.answer.isStale)
    // When the first lookup has failed, not when it was only slow.
    #expect(script.takeTold() == [.stale(since: .milliseconds(13_500))])
  }

  @Test func theServersAreTriedEveryFourSecondsWhileWhatStandsInIsUsed() {
    var script = RecordScript.answered(ttl: 5)
    script.pass(6000)
    script.demand()
    script.say(Code.refused)
    script.isUsed = true
    #expect(script.pass(4000).first == "begin @10000")
    script.say(Code.refused)
    #expect(script.pass(60_000) == [])
  }

  @Test func thatTheServersAnswerAgainIsTold() {
    var script = RecordScript.answered(ttl: 5)
    script.pass(6000)
    script.demand()
    script.say(Code.refused)
    _ = script.takeTold()
    script.pass(6000)
    script.demand()
    script.answer(ttl: 5, 1)
    #expect(!script.record.answer.isStale)
    #expect(script.takeTold() == [.recovered])
  }

  @Test func aSlowLookupIsNotWaitedForWhenSomethingCanStandIn() {
    var script = RecordScript.answered(ttl: 5)
    script.pass(6000)
    script.demand()
    #expect(script.pass(999).filter { $0.hasPrefix("publish") } == [])
    #expect(script.pass(1).contains("publish @7000"))
    #expect(script.record.answer.isStale)
    // It goes on, and what it finds counts. A slow server is not worth a line each time.
    script.pass(500)
    script.answer(ttl: 5, 1)
    #expect(script.addresses == [1])
    #expect(!script.record.answer.isStale)
    #expect(script.takeTold() == [])
  }

  /// What stands in is used meanwhile; that is no reason to begin the lookup anew.
  @Test func aSlowLookupIsNotGivenUpForTheNext() {
    var script = RecordScript.answered(ttl: 5)
    script.pass(6000)
    script.demand()
    for _ in 0..<60 {
      script.isUsed = true
      #expect(!script.pass(100).contains { $0.hasPrefix("begin") })
    }
    script.answer(ttl: 5, 2)
    #expect(script.addresses == [2])
  }

  @Test func aFreshAnswerIsKeptWhileItsRefreshIsSlow() {
    var script = RecordScript.answered(ttl: 60)
    script.isUsed = true
    script.pass(48_000)
    script.pass(3000)
    #expect(!script.record.answer.isStale)
    #expect(script.record.lookup != nil)
  }

  @Test func whatStandsInEndsWithItsLimit() {
    var script = RecordScript.answered(ttl: 5, staleLimit: .seconds(60))
    script.pass(64_000)
    script.demand()
    script.say(Code.refused)
    #expect(script.record.answer.isUsable(now: script.now))
    #expect(script.record.answer.usableUntil == script.start + .seconds(65))
    script.pass(1000)
    #expect(!script.record.answer.isUsable(now: script.now))
    // A demand is not put off by an answer that nobody may use.
    #expect(script.demand(since: script.now - .seconds(1)).first == "begin")
    _ = script.takeTold()
    script.say(Code.refused)
    #expect(script.record.answer.failure == .nameServersFailed)
    #expect(script.addresses == [])
    #expect(script.takeTold() == [.failed(.nameServersFailed, repeated: 0)])
  }

  @Test func afterAFailureTooItIsToldThatTheServersAnswerAgain() {
    var script = RecordScript.answered(ttl: 5, staleLimit: .seconds(0))
    script.pass(6000)
    script.demand()
    script.say(Code.refused)
    #expect(script.takeTold() == [.failed(.nameServersFailed, repeated: 0)])
    script.pass(2000)
    script.demand()
    script.answer(ttl: 5, 1)
    #expect(script.takeTold() == [.recovered])
  }

  @Test func whereNothingCanStandInTheFailureIsPublished() {
    var script = RecordScript(servers: 2)
    script.demand()
    let steps = script.pass(10_000)
    #expect(steps.last == "hang up @7500")
    #expect(script.record.answer.failure == .nameServersFailed)
    #expect(script.takeTold() == [.failed(.nameServersFailed, repeated: 0)])
    #expect(script.words == ["1 noAnswer", "2 noAnswer"])
  }

  @Test func aFailureHoldsForASecond() {
    var script = RecordScript()
    script.demand()
    script.say(Code.refused)
    #expect(script.record.answer.freshUntil == script.now + .seconds(1))
    #expect(script.demand() == ["wait 5000"])
    script.pass(1000)
    #expect(script.demand().first == "begin")
  }

  @Test func aLastingFailureIsToldEveryTenSeconds() {
    var script = RecordScript()
    for _ in 0..<25 {
      script.demand()
      script.say(Code.refused)
      script.pass(1000)
    }
    #expect(
      script.takeTold() == [
        .failed(.nameServersFailed, repeated: 0), .failed(.nameServersFailed, repeated: 9),
        .failed(.nameServersFailed, repeated: 9),
      ])
  }

  // MARK: The name does not exist

  @Test(
    arguments: [
      (nil, Int64(1)), (UInt32(0), 1), (7, 7), (900, 15), (0x8000_0000, 1),
    ] as [(UInt32?, Int64)])
  func thatANameDoesNotExistHoldsForAWhile(ttl: UInt32?, seconds: Int64) {
    for (code, failure) in [(Code.noName, Failure.nameNotFound), (0, .nameWithoutAddress)] {
      var script = RecordScript()
      script.demand()
      // Then those who are connected may want to know; clients ask when they come.
      #expect(script.say(code, negativeTTL: ttl).last == "wait 5000")
      #expect(script.record.answer.failure == failure)
      #expect(script.record.answer.freshUntil == script.now + .seconds(seconds))
      #expect(script.takeTold() == [.failed(failure, repeated: 0)])
    }
  }

  @Test func aNameWithoutAddressIsOneThatExistsInEitherFamily() {
    var script = RecordScript()
    script.demand()
    script.receive(.ipv4) { $0.flags |= Code.noName }
    script.receive(.ipv6)
    script.run()
    #expect(script.record.answer.failure == .nameWithoutAddress)
  }

  @Test func aNameThatIsGoneEndsTheLastGoodAnswer() {
    var script = RecordScript.answered(ttl: 5)
    script.pass(6000)
    script.demand()
    script.say(Code.noName)
    #expect(script.record.answer.failure == .nameNotFound)
    // A server that fails later does not bring it back.
    script.pass(2000)
    script.demand()
    script.say(Code.refused)
    #expect(script.record.answer.failure == .nameServersFailed)
    #expect(
      script.takeTold() == [
        .failed(.nameNotFound, repeated: 0), .failed(.nameServersFailed, repeated: 0),
      ])
  }

  @Test func aNameThatComesBackIsToldAsANewOne() {
    var script = RecordScript.answered(ttl: 5)
    script.pass(6000)
    script.demand()
    script.say(Code.noName)
    _ = script.takeTold()
    script.pass(2000)
    script.demand()
    script.answer(ttl: 5, 1)
    #expect(script.takeTold() == [.changed(from: [], to: [address(.ipv4, 1)], unsaid: 0)])
  }

  // MARK: Another resolv.conf

  @Test func aLookupBeginsAnewWithOtherServers() {
    var script = RecordScript(servers: 3)
    script.demand()
    script.pass(1200)
    script.servers.replace(resolvConf(1))
    #expect(script.receive(.ipv4, from: 3) == .notOurs)
    #expect(script.run() == ["hang up", "begin", "AAAA 1", "A 1", "wait 1700"])
    script.answer(1)
    #expect(script.addresses == [1])
  }

  @Test func anErrorOfAServerThatIsGoneIsNoMatter() {
    var script = RecordScript(servers: 3)
    script.demand()
    script.pass(1200)
    script.servers.replace(resolvConf(1))
    script.record.fail(
      slot(.ipv4, 3), .unreachable, now: script.now, servers: &script.servers)
    #expect(script.run().contains("begin"))
  }

  @Test func otherOptionsLeaveTheLookupAlone() {
    var script = RecordScript(servers: 1)
    script.demand()
    script.servers.replace(resolvConf(1, "options timeout:1\n"))
    #expect(script.run() == ["wait 500"])
  }
}
