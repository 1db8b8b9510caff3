// Identical warnings are folded, under a clock that the test moves.
import Testing

@testable import Core

struct WarningFoldTests {
  private func at(_ seconds: Int64) -> Instant {
    Instant(nanoseconds: seconds * 1_000_000_000)
  }

  @Test func theFirstFailureIsLoggedAtOnceAndArmsNothing() {
    var fold = WarningFold()
    #expect(fold.nextDeadline == nil)
    #expect(fold.admit(forward: 0, failure: .refused, now: at(0)) == .log(repeatedBefore: 0))
    #expect(fold.nextDeadline == nil)
    #expect(fold.expired(now: at(1_000)) == nil)
  }

  @Test func repetitionsAreCountedAndReportedWhenTheWindowEnds() throws {
    var fold = WarningFold()
    _ = fold.admit(forward: 3, failure: .timedOut, now: at(0))
    for second in 1...9 {
      #expect(fold.admit(forward: 3, failure: .timedOut, now: at(Int64(second))) == .fold)
    }
    #expect(fold.nextDeadline == at(10))
    let early = Instant(nanoseconds: at(10).nanoseconds - 1)
    #expect(fold.expired(now: early) == nil)
    let expired = fold.expired(now: at(10))
    let report = try #require(expired)
    #expect(report == (3, .timedOut, 9))
    #expect(fold.expired(now: at(10)) == nil)
    #expect(fold.nextDeadline == nil)
  }

  @Test func aFailureThatLastsCostsOneLineEachWindow() {
    var fold = WarningFold()
    var logged = 0
    var counted: UInt64 = 0
    for second in 0..<100 {
      while let report = fold.expired(now: at(Int64(second))) {
        logged += 1
        counted += report.repeated
      }
      switch fold.admit(forward: 0, failure: .refused, now: at(Int64(second))) {
      case .log(let before):
        logged += 1
        counted += 1 + before
      case .fold: break
      }
    }
    #expect(logged == 10)
    // The last window's ten are still held.
    #expect(counted == 90)
    #expect(fold.expired(now: at(100))?.repeated == 10)
  }

  @Test func afterAQuietWindowTheNextFailureIsLoggedAtOnce() {
    var fold = WarningFold()
    _ = fold.admit(forward: 0, failure: .refused, now: at(0))
    #expect(fold.admit(forward: 0, failure: .refused, now: at(5)) == .fold)
    #expect(fold.expired(now: at(10))?.repeated == 1)
    #expect(fold.admit(forward: 0, failure: .refused, now: at(19)) == .fold)
    #expect(fold.expired(now: at(20))?.repeated == 1)
    #expect(fold.admit(forward: 0, failure: .refused, now: at(30)) == .log(repeatedBefore: 0))
  }

  @Test func aFailureThatOvertakesTheReportBringsTheCountAlong() {
    var fold = WarningFold()
    _ = fold.admit(forward: 0, failure: .refused, now: at(0))
    _ = fold.admit(forward: 0, failure: .refused, now: at(1))
    _ = fold.admit(forward: 0, failure: .refused, now: at(2))
    #expect(fold.admit(forward: 0, failure: .refused, now: at(10)) == .log(repeatedBefore: 2))
    #expect(fold.nextDeadline == nil)
  }

  @Test func forwardsKindsAndErrnosAreFoldedApart() {
    var fold = WarningFold()
    let log = WarningFold.Verdict.log(repeatedBefore: 0)
    #expect(fold.admit(forward: 0, failure: .refused, now: at(0)) == log)
    #expect(fold.admit(forward: 1, failure: .refused, now: at(0)) == log)
    #expect(fold.admit(forward: 0, failure: .reset, now: at(0)) == log)
    #expect(fold.admit(forward: 0, failure: .system(5), now: at(0)) == log)
    #expect(fold.admit(forward: 0, failure: .system(6), now: at(0)) == log)
    #expect(fold.admit(forward: 0, failure: .system(5), now: at(0)) == .fold)
  }

  @Test func theEarliestWindowIsTheDeadline() {
    var fold = WarningFold()
    for forward in [2, 1, 3] {
      _ = fold.admit(forward: forward, failure: .refused, now: at(Int64(forward)))
    }
    for forward in [3, 1, 2] {
      _ = fold.admit(forward: forward, failure: .refused, now: at(4))
    }
    #expect(fold.nextDeadline == at(11))
    #expect(fold.expired(now: at(12))?.forward != nil)
    #expect(fold.expired(now: at(12))?.forward != nil)
    #expect(fold.expired(now: at(12)) == nil)
    #expect(fold.nextDeadline == at(13))
  }

  @Test func aFullTableLogsUnfoldedAndHealsWhenAWindowEnds() {
    var fold = WarningFold()
    for forward in 0..<WarningFold.capacity {
      _ = fold.admit(forward: forward, failure: .refused, now: at(0))
    }
    let log = WarningFold.Verdict.log(repeatedBefore: 0)
    #expect(fold.admit(forward: 99, failure: .refused, now: at(1)) == log)
    #expect(fold.admit(forward: 99, failure: .refused, now: at(2)) == log)
    #expect(fold.admit(forward: 99, failure: .refused, now: at(10)) == log)
    #expect(fold.admit(forward: 99, failure: .refused, now: at(11)) == .fold)
  }

  /// Whatever the schedule: each failure is on a line, or counted in one, exactly once.
  @Test(arguments: 0..<500 as Range<UInt64>)
  func noFailureIsLostOrCountedTwice(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    var fold = WarningFold()
    var now: Int64 = 0
    var failed: UInt64 = 0
    var said: UInt64 = 0
    let kinds: [Failure] = [.refused, .timedOut, .system(1), .system(2)]
    for _ in 0..<400 {
      now += Int64.random(in: 0...3_000_000_000, using: &random)
      let moment = Instant(nanoseconds: now)
      if Bool.random(using: &random) {
        while let report = fold.expired(now: moment) { said += report.repeated }
        if let deadline = fold.nextDeadline { #expect(moment < deadline) }
      }
      failed += 1
      let forward = Int.random(in: 0..<6, using: &random)
      let kind = kinds[Int.random(in: 0..<kinds.count, using: &random)]
      switch fold.admit(forward: forward, failure: kind, now: moment) {
      case .log(let before): said += 1 + before
      case .fold: #expect(fold.nextDeadline != nil)
      }
    }
    while let deadline = fold.nextDeadline {
      while let report = fold.expired(now: deadline) { said += report.repeated }
    }
    #expect(said == failed)
  }
}
