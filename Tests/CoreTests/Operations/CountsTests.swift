// What is counted, and how the counts of several workers become the process's.
import Testing

@testable import Core

private let moment = Instant(nanoseconds: 1_000_000_000_000)

/// One worker's numbers for a forward.
func counts(_ values: [Int: UInt64]) -> ForwardCounts {
  var counts = ForwardCounts()
  counts.add { values[$0] ?? 0 }
  return counts
}

struct CountsTests {
  @Test func everyCountHasAPlaceOfItsOwn() {
    var places = [
      Count.accepted, Count.absorbed, Count.established, Count.toTargetBytes, Count.toClientBytes,
      Count.lastSuccess, Count.lastFailure, Count.lastCause, Count.gone, Count.connectTimeSum,
      Count.durationSum,
    ]
    places += Failure.causes.map { Count.failure($0) }
    for endedBy in EndedBy.allCases {
      places += EndReason.allCases.map { Count.ending(endedBy, $0) }
    }
    let spans = [Nanoseconds.zero] + Histogram.connectTimes.bounds.map { .milliseconds($0 + 1) }
    places += spans.map { Count.connectTime($0) }
    let lives = [Nanoseconds.zero] + Histogram.durations.bounds.map { .milliseconds($0 + 1) }
    places += lives.map { Count.duration($0) }
    #expect(places.sorted() == Array(0..<Count.places))
  }

  @Test func countsOfWorkersAddUp() {
    var sum = ForwardCounts()
    for worker in 1...4 {
      sum.add { $0 == Count.lastSuccess || $0 == Count.lastFailure ? 0 : UInt64($0 * worker) }
    }
    for place in 0..<Count.places
    where ![Count.lastSuccess, Count.lastFailure, Count.lastCause].contains(place) {
      #expect(sum[place] == UInt64(place * 10))
    }
  }

  @Test func theLatestMomentCountsAndBringsItsCause() {
    var sum = ForwardCounts()
    let workers: [[Int: UInt64]] = [
      [Count.lastSuccess: 70, Count.lastFailure: 50, Count.lastCause: 1],
      [Count.lastSuccess: 90, Count.lastFailure: 80, Count.lastCause: 4],
      [Count.lastSuccess: 80, Count.lastFailure: 60, Count.lastCause: 2],
    ]
    for worker in workers { sum.add { worker[$0] ?? 0 } }
    #expect(sum.lastSuccess == Instant(nanoseconds: 90))
    #expect(sum.lastFailure?.at == Instant(nanoseconds: 80))
    #expect(sum.lastFailure?.cause == .reset)
  }

  @Test func nothingHasHappenedAtFirst() {
    let counts = ForwardCounts()
    #expect(counts.lastSuccess == nil)
    #expect(counts.lastFailure == nil)
    #expect(counts.open == 0)
    #expect(counts.failed == 0)
  }

  @Test func openAreThoseThatCameAndAreNotGone() {
    #expect(counts([Count.accepted: 12, Count.gone: 5]).open == 7)
  }

  /// One that was accepted after the one number was read, and was gone before the other.
  @Test func moreGoneThanCameIsNoneOpen() {
    #expect(counts([Count.accepted: 4, Count.gone: 5]).open == 0)
  }

  @Test func failedAreThoseOfAllCauses() {
    var values: [Int: UInt64] = [:]
    for (index, cause) in Failure.causes.enumerated() {
      values[Count.failure(cause)] = UInt64(1) << index
    }
    #expect(counts(values).failed == UInt64(1) << Failure.causes.count - 1)
  }

  @Test func everyCauseIsFoundAgainByItsPlace() {
    for (place, cause) in Failure.causes.enumerated() {
      #expect(cause.cause == place)
      #expect(Count.failure(cause) == Count.failures + place)
    }
    #expect(Failure.system(5).cause == Failure.system(107).cause)
    #expect(Set(Failure.causes.map { "\($0.name)" }).count == Failure.causes.count)
  }

  @Test(arguments: [
    (0, 0), (1_000_000, 0), (1_000_001, 1), (2_000_000, 1), (4_999_999, 2), (10_000_000_000, 12),
    (10_000_000_001, 13), (Int64.max, 13),
  ])
  func aBoundBelongsToItsBucket(nanoseconds: Int64, bucket: Int) {
    #expect(Histogram.connectTimes.bucket(of: Nanoseconds(count: nanoseconds)) == bucket)
  }

  @Test func bucketsRiseAndEndWithADay() {
    for histogram in [Histogram.connectTimes, .durations] {
      #expect(histogram.bounds == histogram.bounds.sorted())
      #expect(Set(histogram.bounds).count == histogram.bounds.count)
    }
    #expect(Histogram.durations.bucket(of: .seconds(86_400)) == 8)
    #expect(Histogram.durations.bucket(of: .seconds(86_401)) == 9)
  }
}

struct TargetHealthTests {
  private func judge(_ forwards: [[Int: UInt64]]) -> TargetHealth {
    TargetHealth.judge(forwards: forwards.count, now: moment) { counts(forwards[$0]) }
  }
  private func ago(_ seconds: Int64) -> UInt64 {
    UInt64((moment - Nanoseconds.seconds(seconds)).nanoseconds)
  }

  @Test func aSuccessOfTheLastMinuteIsHealth() {
    #expect(judge([[Count.lastSuccess: ago(59)]]) == .reached)
    #expect(judge([[Count.lastSuccess: ago(60)]]) == .unknown)
    #expect(judge([[:]]) == .unknown)
    #expect(judge([]) == .reached)
  }

  @Test func theLatestAttemptDecides() {
    let failure = [Count.lastFailure: ago(5), Count.lastCause: UInt64(1)]
    let before = failure.merging([Count.lastSuccess: ago(6)]) { $1 }
    let after = failure.merging([Count.lastSuccess: ago(4)]) { $1 }
    #expect(judge([before]) == .failed(forward: 0, ago: .seconds(5), cause: .timedOut))
    #expect(judge([after]) == .reached)
  }

  @Test func aFailureIsForgottenAfterAMinute() {
    #expect(judge([[Count.lastFailure: ago(60)]]) == .unknown)
    #expect(judge([[Count.lastFailure: ago(61), Count.lastSuccess: ago(70)]]) == .unknown)
  }

  @Test func theWorstForwardIsTold() {
    let well = [Count.lastSuccess: ago(1)]
    let ill = [Count.lastFailure: ago(2)]
    #expect(judge([well, [:]]) == .unknown)
    #expect(judge([well, [:], ill]) == .failed(forward: 2, ago: .seconds(2), cause: .refused))
    #expect(judge([well, well]) == .reached)
  }

  @Test func eachHasItsLine() {
    let forwards = [target("db.example", 5432), target("other.example", 3306)].map {
      Forward(listenPort: 8080, target: $0)
    }
    #expect(text(TargetHealth.reached.line(forwards)) == "ok\n")
    #expect(text(TargetHealth.unknown.line(forwards)) == "unknown\n")
    let failed = TargetHealth.failed(forward: 1, ago: .seconds(200), cause: .refused)
    let line = text(failed.line(forwards))
    #expect(
      line.hasPrefix("target other.example:3306 not reached 3m20s ago: refused: the target "))
    #expect(line.filter { $0 == "\n" }.count == 1 && line.hasSuffix("\n"))
    #expect(
      text(TargetHealth.failed(forwards[0].target, .timedOut, ago: nil))
        .hasPrefix("target db.example:5432 not reached: timed_out: "))
  }
}

struct ChurnWatchTests {
  private func at(_ milliseconds: Int64) -> Instant { moment + .milliseconds(milliseconds) }

  /// Ends `count` connections after `life` evenly over a minute, and one more after it.
  private func minute(
    _ count: Int, life: (Int) -> Nanoseconds, share: Int = 1, until: Int64 = 60_000
  ) -> ChurnWatch.Finding? {
    var watch = ChurnWatch()
    for number in 0..<count {
      let now = at(Int64(number) * 59_999 / Int64(count))
      #expect(watch.end(after: life(number), share: share, now: now) == nil)
    }
    return watch.end(after: .zero, share: share, now: at(until))
  }

  @Test func manyShortLivesAreNoticed() {
    let finding = minute(300) { _ in .milliseconds(5) }
    #expect(finding == ChurnWatch.Finding(perMinute: 300, medianBelow: 10))
  }

  @Test func fewAreNot() { #expect(minute(299) { _ in .milliseconds(5) } == nil) }

  @Test func longLivesAreNot() { #expect(minute(1000) { _ in .milliseconds(1_000) } == nil) }

  @Test func halfOfThemMustBeShort() {
    let median = minute(1000) { $0 < 501 ? .milliseconds(99) : .seconds(100) }
    #expect(median == ChurnWatch.Finding(perMinute: 1000, medianBelow: 100))
    #expect(minute(1000) { $0 < 500 ? .milliseconds(99) : .seconds(100) } == nil)
  }

  @Test func aWorkerSpeaksForAllOfThem() {
    let finding = minute(100, life: { _ in .milliseconds(500) }, share: 4)
    #expect(finding == ChurnWatch.Finding(perMinute: 400, medianBelow: 1_000))
  }

  @Test func silenceAfterwardsIsNoChurn() {
    #expect(minute(300, life: { _ in .zero }, until: 119_999) != nil)
    #expect(minute(300, life: { _ in .zero }, until: 120_000) == nil)
  }

  @Test func eachMinuteIsJudgedByItself() {
    var watch = ChurnWatch()
    var findings = 0
    for number in 0..<2_000 {
      // Ten a second in the first and third minute, one in the second.
      let isQuiet = 60..<120 ~= number / 10
      if isQuiet && number % 10 != 0 { continue }
      let now = at(Int64(number) * 100)
      if watch.end(after: .zero, share: 1, now: now) != nil { findings += 1 }
    }
    #expect(findings == 2)
  }
}

func target(_ host: String, _ port: UInt16) -> Target {
  Target(host: [UInt8](host.utf8), kind: .name([UInt8](host.utf8)), port: port)
}
