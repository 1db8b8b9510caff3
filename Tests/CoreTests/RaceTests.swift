// The race, step by step; times in milliseconds after the client came.
import Testing

@testable import Core

private let a = (0...40).map { ipv4(0x0a00_0000 + $0) }

private func at(_ milliseconds: Int64) -> Instant {
  Instant(nanoseconds: 1_000_000_000_000) + .milliseconds(milliseconds)
}

/// Addresses 1 to `count`, from a lookup that began `age` ago, with five seconds to connect.
private func race(_ count: Int, age: Int64 = 0, end: Int64 = 5000) -> Race {
  Race(addresses: Array(a[1...count]), answerStartedAt: at(-age), end: at(end), now: at(0))
}

/// One address that was configured.
private func literalRace() -> Race {
  Race(addresses: [a[1]], answerStartedAt: .never, end: at(5000), now: at(0))
}

struct RaceTests {
  // MARK: Attempts

  @Test func aQuarterOfASecondLiesBetweenAttempts() {
    var race = race(3)
    #expect(race.next(now: at(0)) == .connect(a[1]))
    #expect(race.next(now: at(0)) == .wait(until: at(250)))
    #expect(race.next(now: at(249)) == .wait(until: at(250)))
    #expect(race.next(now: at(250)) == .connect(a[2]))
    #expect(race.next(now: at(251)) == .wait(until: at(500)))
    // Late, the next comes a quarter of a second later again.
    #expect(race.next(now: at(600)) == .connect(a[3]))
  }

  @Test func aFailureMovesOnAtOnce() {
    var race = race(3)
    #expect(race.next(now: at(0)) == .connect(a[1]))
    race.fail(.refused, now: at(3))
    #expect(race.next(now: at(3)) == .connect(a[2]))
    #expect(race.next(now: at(3)) == .wait(until: at(253)))
    race.fail(.refused, now: at(5))
    #expect(race.next(now: at(5)) == .connect(a[3]))
  }

  @Test func fourAreUnderWayAtMost() {
    var race = race(6)
    for index in 1...4 {
      #expect(race.next(now: at(Int64(index - 1) * 250)) == .connect(a[index]))
    }
    #expect(race.next(now: at(999)) == .wait(until: at(1000)))
    #expect(race.next(now: at(1000)) == .dropOldest)
    #expect(race.next(now: at(1000)) == .connect(a[5]))
    // One that failed by itself makes room.
    race.fail(.refused, now: at(1100))
    #expect(race.next(now: at(1100)) == .connect(a[6]))
  }

  @Test(arguments: [2, 5, 19, 20, 21, 32], [100, 1000, 5000, 60_000] as [Int64])
  func eachOfManyAddressesGetsItsShare(count: Int, end: Int64) {
    var race = race(count, end: end)
    var connected: [Int64] = []
    var time: Int64 = 0
    while true {
      switch race.next(now: at(time)) {
      case .connect: connected.append(time)
      case .dropOldest: break
      case .wait(let until):
        #expect(at(time) < until && until <= at(end))
        time = (until - at(0)).wholeMilliseconds
      case .lookUp: race.offer([], startedAt: at(time), now: at(time))
      case .giveUp(let failure):
        #expect(failure == .timedOut)
        #expect(time == end)
        #expect(connected.count == count)
        let share = min(250, end / Int64(count))
        for (earlier, later) in zip(connected, connected.dropFirst()) {
          #expect(share...max(share + 2, share * 5 / 4) ~= later - earlier)
        }
        return
      }
    }
  }

  // MARK: The end

  @Test func theEndIsTheEnd() {
    var race = race(2)
    #expect(race.next(now: at(0)) == .connect(a[1]))
    #expect(race.next(now: at(5000)) == .giveUp(.timedOut))
    var never = RaceTests.late
    #expect(never.next(now: at(5000)) == .giveUp(.timedOut))
  }

  private static let late = race(2)

  @Test func atTheEndTheLastFailureIsTold() {
    var race = race(1)
    #expect(race.next(now: at(0)) == .connect(a[1]))
    race.fail(.refused, now: at(4000))
    #expect(race.next(now: at(5000)) == .giveUp(.refused))
  }

  @Test func whatIsStillUnderWayAtTheEndTimedOut() {
    var race = race(2)
    #expect(race.next(now: at(0)) == .connect(a[1]))
    race.fail(.refused, now: at(10))
    #expect(race.next(now: at(10)) == .connect(a[2]))
    #expect(race.next(now: at(5000)) == .giveUp(.timedOut))
  }

  @Test(
    arguments: [
      ([.refused], .refused), ([.refused, .hostUnreachable], .hostUnreachable),
      ([.refused, .networkUnreachable], .refused), ([.networkUnreachable, .refused], .refused),
      ([.networkUnreachable, .networkUnreachable], .networkUnreachable),
    ] as [([Failure], Failure)])
  func thatAFamilyHasNoWayIsToldLast(failures: [Failure], told: Failure) {
    var race = race(failures.count)
    for (index, failure) in failures.enumerated() {
      #expect(race.next(now: at(10)) == .connect(a[index + 1]))
      race.fail(failure, now: at(10))
    }
    race.offer([], startedAt: at(10), now: at(20))
    #expect(race.next(now: at(20)) == .giveUp(told))
  }

  @Test func configuredAddressesAreNotLookedUp() {
    var race = literalRace()
    #expect(race.next(now: at(0)) == .connect(a[1]))
    #expect(race.next(now: at(0)) == .wait(until: at(5000)))
    race.fail(.refused, now: at(2000))
    #expect(race.next(now: at(2000)) == .giveUp(.refused))
  }

  // MARK: Looking again

  @Test func whenAllHaveFailedItAsksWhereTheNameLeadsNow() {
    var race = race(2, age: 3000)
    for index in 1...2 {
      #expect(race.next(now: at(5)) == .connect(a[index]))
      race.fail(.refused, now: at(5))
    }
    guard case .lookUp(let since) = race.next(now: at(5)) else {
      Issue.record("no lookup")
      return
    }
    // What was asked for before the failure says nothing.
    #expect(since == at(5))
    #expect(race.next(now: at(5)) == .wait(until: at(5000)))
    race.offer([a[2], a[3], a[1]], startedAt: at(5), now: at(30))
    #expect(race.next(now: at(30)) == .connect(a[3]))
    race.fail(.hostUnreachable, now: at(40))
    #expect(race.next(now: at(40)) == .wait(until: at(1005)))
    #expect(race.next(now: at(1005)) == .lookUp(since: at(40)))
    race.offer([a[3]], startedAt: at(1005), now: at(1010))
    #expect(race.next(now: at(1010)) == .giveUp(.hostUnreachable))
  }

  @Test func anAnswerOfTheSameAddressesEndsIt() {
    var race = race(2, age: 3000)
    for index in 1...2 {
      #expect(race.next(now: at(5)) == .connect(a[index]))
      race.fail(.refused, now: at(5))
    }
    guard case .lookUp = race.next(now: at(5)) else {
      Issue.record("no lookup")
      return
    }
    race.offer([a[2], a[1]], startedAt: at(5), now: at(20))
    #expect(race.next(now: at(20)) == .giveUp(.refused))
  }

  /// Names are looked up once a second at most; what is younger, but from before the failure, still
  /// does not tell whether the name has moved.
  @Test(arguments: [1, 500, 999] as [Int64]) func aYoungAnswerIsAskedForAgainInItsTime(age: Int64) {
    var race = race(1, age: age)
    #expect(race.next(now: at(0)) == .connect(a[1]))
    race.fail(.refused, now: at(0))
    #expect(race.next(now: at(0)) == .wait(until: at(1000 - age)))
    #expect(race.next(now: at(1000 - age)) == .lookUp(since: at(0)))
  }

  @Test func anAnswerFromAfterTheFailureEndsIt() {
    var race = race(1, age: 0)
    #expect(race.next(now: at(0)) == .connect(a[1]))
    race.fail(.refused, now: at(0))
    #expect(race.next(now: at(0)) == .giveUp(.refused))
  }

  @Test func anAnswerFromBeforeTheQuestionDoesNotEndIt() {
    var race = race(1, age: 3000)
    #expect(race.next(now: at(0)) == .connect(a[1]))
    race.fail(.refused, now: at(0))
    guard case .lookUp = race.next(now: at(0)) else {
      Issue.record("no lookup")
      return
    }
    race.offer([a[1]], startedAt: at(-2000), now: at(1))
    #expect(race.next(now: at(1)) == .wait(until: at(5000)))
    race.offer([a[1], a[2]], startedAt: at(2), now: at(9))
    #expect(race.next(now: at(9)) == .connect(a[2]))
  }

  @Test func aLookupThatFailsEndsItToo() {
    var race = race(1, age: 3000)
    #expect(race.next(now: at(0)) == .connect(a[1]))
    race.fail(.refused, now: at(0))
    guard case .lookUp = race.next(now: at(0)) else {
      Issue.record("no lookup")
      return
    }
    race.offer([], startedAt: at(1), now: at(400))
    #expect(race.next(now: at(400)) == .giveUp(.refused))
  }

  @Test func withNoAnswerTheEndIsTheEnd() {
    var race = race(1, age: 3000)
    #expect(race.next(now: at(0)) == .connect(a[1]))
    race.fail(.refused, now: at(0))
    guard case .lookUp = race.next(now: at(0)) else {
      Issue.record("no lookup")
      return
    }
    #expect(race.next(now: at(4999)) == .wait(until: at(5000)))
    #expect(race.next(now: at(5000)) == .giveUp(.refused))
  }

  /// An answer that is a second old to the nanosecond: it must not be asked for, and taken, and
  /// asked for without end.
  @Test(arguments: [false, true]) func aStepTakesTime(hangs: Bool) {
    var race = race(1, age: 1000)
    #expect(race.next(now: at(0)) == .connect(a[1]))
    if !hangs { race.fail(.refused, now: at(0)) }
    let now = hangs ? at(250) : at(0)
    if hangs { race.offer([a[1]], startedAt: now - .seconds(1), now: now) }
    for _ in 0..<3 {
      guard case .lookUp(let since) = race.next(now: now) else { return }
      // As the worker does: what is there is offered if it is young enough.
      guard since <= now - .seconds(1) else { continue }
      race.offer([a[1]], startedAt: now - .seconds(1), now: now)
    }
    Issue.record("it asks for ever")
  }

  @Test func whileAnAttemptHangsItAsksEverySecond() {
    var race = race(1, age: 400)
    #expect(race.next(now: at(0)) == .connect(a[1]))
    var time: Int64 = 0
    var asked: [Int64] = []
    while time < 5000 {
      switch race.next(now: at(time)) {
      case .lookUp:
        asked.append(time)
        race.offer([a[1]], startedAt: at(time), now: at(time))
      case .wait(let until): time = (until - at(0)).wholeMilliseconds
      case let step: Issue.record("\(step)")
      }
    }
    #expect(asked == [600, 1600, 2600, 3600, 4600])
    #expect(race.next(now: at(5000)) == .giveUp(.timedOut))
  }

  @Test func anOldAnswerIsAskedForWhenTheNextAttemptWouldBegin() {
    var race = race(1, age: 60_000)
    #expect(race.next(now: at(0)) == .connect(a[1]))
    #expect(race.next(now: at(1)) == .wait(until: at(250)))
    guard case .lookUp = race.next(now: at(250)) else {
      Issue.record("no lookup")
      return
    }
    // What hangs may still win: the new address is tried beside it.
    race.offer([a[2]], startedAt: at(250), now: at(270))
    #expect(race.next(now: at(270)) == .connect(a[2]))
    #expect(race.next(now: at(270)) == .wait(until: at(1250)))
  }

  @Test func addressesThatAreNotNamedAnyMoreAreNotTried() {
    var race = race(3)
    #expect(race.next(now: at(0)) == .connect(a[1]))
    race.offer([a[4], a[3]], startedAt: at(50), now: at(60))
    #expect(race.next(now: at(60)) == .connect(a[4]))
    #expect(race.next(now: at(310)) == .connect(a[3]))
    race.fail(.refused, now: at(320))
    race.fail(.refused, now: at(320))
    race.fail(.refused, now: at(320))
    race.offer([a[4], a[3]], startedAt: at(400), now: at(410))
    #expect(race.next(now: at(410)) == .giveUp(.refused))
  }

  // MARK: Want of descriptors

  @Test func anAttemptThatCouldNotBeMadeIsMadeAgain() {
    var race = race(2)
    #expect(race.next(now: at(0)) == .connect(a[1]))
    race.postpone(.noDescriptors, until: at(50))
    #expect(race.next(now: at(0)) == .wait(until: at(50)))
    #expect(race.next(now: at(50)) == .connect(a[1]))
    #expect(race.next(now: at(50)) == .wait(until: at(300)))
    #expect(race.next(now: at(300)) == .connect(a[2]))
  }

  @Test func aLastingShortageIsToldAtTheEnd() {
    var race = race(1)
    for time in stride(from: 0, to: 5000, by: 50) as StrideTo<Int64> {
      #expect(race.next(now: at(time)) == .connect(a[1]))
      race.postpone(.noDescriptors, until: at(time + 50))
    }
    #expect(race.next(now: at(5000)) == .giveUp(.noDescriptors))
  }
}
