// What is known of a name, when it is looked up again, and for how long it holds.
import Testing

@testable import Core

@Suite struct NameRecordTests {
  @Test func nothingIsAskedBeforeSomebodyAsks() {
    var script = RecordScript()
    #expect(script.run() == ["wait for a demand"])
    #expect(script.demand() == ["begin", "AAAA 1", "A 1", "wait 500"])
  }

  @Test func anAnswerIsPublishedAndTheSocketsClosed() {
    var script = RecordScript()
    script.demand()
    script.pass(7)
    #expect(script.answer(ttl: 60, 1, 2) == ["publish", "hang up", "wait 48007"])
    #expect(script.addresses == [1, 2])
    #expect(script.record.answer.startedAt == script.start)
    #expect(script.record.answer.freshUntil == script.now + .seconds(60))
    #expect(script.record.answer.failure == nil)
  }

  // MARK: Two families

  /// RFC 8305, section 3.
  @Test func theFirstFamilyWaits50MillisecondsForTheOther() {
    var script = RecordScript()
    script.demand()
    script.pass(5)
    #expect(script.answer(.ipv4, 1) == ["wait 55"])
    #expect(script.pass(49) == [])
    #expect(script.pass(1) == ["publish @55"])
    #expect(script.record.answer.addresses == [address(.ipv4, 1)])
  }

  @Test func theSecondFamilyIsPublishedWhenItComes() {
    var script = RecordScript()
    script.demand()
    script.answer(.ipv4, 1)
    script.pass(300)
    #expect(script.published.count == 1)
    #expect(script.answer(.ipv6, ttl: 30, 1) == ["publish", "hang up", "wait 24300"])
    #expect(script.record.answer.addresses == [address(.ipv6, 1), address(.ipv4, 1)])
    #expect(script.record.answer.startedAt == script.start)
  }

  @Test func whenBothComeInTimeThereIsOneAnswer() {
    var script = RecordScript()
    script.demand()
    script.answer(.ipv6, 1)
    script.pass(49)
    script.answer(.ipv4, 1)
    #expect(script.published.count == 1)
  }

  @Test func theAnswerHoldsAsLongAsItsFirstPart() {
    var script = RecordScript()
    script.demand()
    script.answer(.ipv6, ttl: 20, 1)
    script.answer(.ipv4, ttl: 10, 1)
    #expect(script.record.answer.freshUntil == script.now + .seconds(10))
  }

  @Test func aFamilyThatFailsLeavesTheOther() {
    var script = RecordScript()
    script.demand()
    script.answer(.ipv4, 1)
    script.pass(10_000)
    #expect(script.published.count == 2)
    #expect(script.record.answer.addresses == [address(.ipv4, 1)])
    #expect(script.record.lookup == nil)
  }

  // MARK: Times to live

  @Test(arguments: [
    (UInt32(0), Int64(1)), (1, 1), (5, 5), (300, 300), (301, 300), (86_400, 300),
    (0x7fff_ffff, 300), (0x8000_0000, 1), (0xffff_ffff, 1),
  ])
  func aTimeToLiveHasAFloorAndACeiling(ttl: UInt32, seconds: Int64) {
    var script = RecordScript()
    script.demand()
    script.answer(ttl: ttl, 1)
    #expect(script.record.answer.freshUntil == script.now + .seconds(seconds))
    #expect(script.record.answer.usableUntil == script.record.answer.freshUntil)
  }

  @Test func whatIsUsedIsLookedUpAgainBeforeItEnds() {
    var script = RecordScript.answered(ttl: 5)
    script.isUsed = true
    #expect(script.pass(3999) == [])
    #expect(script.pass(1) == ["begin @4000", "AAAA 1 @4000", "A 1 @4000"])
    script.answer(ttl: 5, 2)
    #expect(script.addresses == [2])
    #expect(script.record.answer.startedAt == script.start + .seconds(4))
  }

  @Test func whatNobodyUsesIsNotLookedUpAgain() {
    var script = RecordScript.answered(ttl: 5)
    #expect(script.pass(3_600_000) == [])
    #expect(script.run() == ["wait for a demand"])
  }

  @Test func oneUseIsGoodForOneRefresh() {
    var script = RecordScript.answered(ttl: 5)
    script.isUsed = true
    script.pass(4000)
    script.answer(ttl: 5, 1)
    #expect(script.pass(3_600_000) == [])
    #expect(script.run() == ["wait for a demand"])
  }

  /// Two packets a second at most, with a time to live of 5 s and clients all the time.
  @Test func aBusyNameIsAskedForInTwoPacketsEveryFourSeconds() {
    var script = RecordScript.answered(ttl: 5)
    var questions = 0
    for _ in 0..<100 {
      script.isUsed = true
      let steps = script.pass(400)
      questions += steps.filter { $0.contains("A ") }.count
      if script.record.lookup != nil { script.answer(ttl: 5, 1) }
    }
    #expect(questions == 20)
  }

  @Test func aRefreshTakesThePlaceOfALookupThatOnlyWaitsForAFamily() {
    var script = RecordScript()
    script.demand()
    script.answer(.ipv4, ttl: 1, 1)
    script.pass(50)
    script.isUsed = true
    #expect(
      script.pass(760) == ["AAAA 1 again plain @500", "hang up @810", "begin @810"]
        + ["AAAA 1 @810", "A 1 @810"])
  }

  // MARK: Demands

  @Test func demandsAreOneLookup() {
    var script = RecordScript()
    script.demand()
    #expect(script.demand() == ["wait 500"])
    script.pass(100)
    #expect(script.demand(since: script.now) == ["wait 500"])
  }

  @Test func aFreshAnswerIsNotAskedForAgain() {
    var script = RecordScript.answered(ttl: 60)
    #expect(script.demand(since: script.start) == ["wait 48000"])
  }

  @Test func aConnectionThatFailedWantsSomethingNewer() {
    var script = RecordScript.answered(ttl: 60)
    script.pass(900)
    #expect(script.demand(since: script.start + .milliseconds(1)).first == "begin")
    script.answer(2)
    #expect(script.addresses == [2])
    #expect(script.record.answer.startedAt == script.start + .milliseconds(900))
  }

  /// Clients may fail a thousand times a second.
  @Test func howeverMuchIsAskedForLookupsBeginSomeTimeApart() {
    var script = RecordScript.answered(ttl: 60)
    script.pass(100)
    #expect(script.demand(since: script.start + .milliseconds(1)) == ["wait 800"])
    #expect(script.demand(since: script.start + .milliseconds(2)) == ["wait 800"])
    #expect(script.record.isLookingUp)
    #expect(script.pass(700).first == "begin @800")
  }

  @Test func aLookupThatOnlyWaitsForAFamilyIsNoAnswerToANewerDemand() {
    var script = RecordScript()
    script.demand()
    script.answer(.ipv4, 1)
    script.pass(400)
    #expect(script.demand(since: script.start) == ["wait 500"])
    #expect(
      script.demand(since: script.start + .milliseconds(1)) == ["hang up", "wait 800"])
    #expect(script.pass(400) == ["begin @800", "AAAA 1 @800", "A 1 @800"])
  }

  @Test func anAnswerThatIsOverIsAskedForAgain() {
    var script = RecordScript.answered(ttl: 5)
    script.pass(5000)
    #expect(script.demand().first == "begin")
  }

  /// Nobody used it before it ended, so it was not refreshed; its other family is still awaited.
  @Test func anEarlyAnswerThatIsOverIsAskedForAgain() {
    var script = RecordScript()
    script.demand()
    script.answer(.ipv4, ttl: 1, 1)
    script.pass(1000)
    #expect(!script.record.answer.isUsable(now: script.now))
    #expect(script.demand().prefix(2) == ["hang up", "begin"])
  }

  // MARK: /etc/hosts

  @Test func theHostsFileAnswersWithoutAQuestion() {
    var script = RecordScript()
    script.list("10.1.1.1 db.example\n10.1.1.2 db.example\n")
    #expect(script.demand() == ["begin", "publish", "wait 4000"])
    #expect(script.record.answer.addresses == [ipv4(0x0a01_0101), ipv4(0x0a01_0102)])
    #expect(script.record.answer.isListed)
    #expect(script.record.answer.freshUntil == script.start + .seconds(5))
  }

  @Test func aNameThatIsNoLongerListedIsAskedFor() {
    var script = RecordScript()
    script.list("10.1.1.1 db.example\n")
    script.demand()
    script.list("")
    script.pass(5000)
    #expect(script.demand() == ["begin", "AAAA 1", "A 1", "wait 5500"])
    script.answer(1)
    #expect(!script.record.answer.isListed)
  }
}
