import Testing

@testable import Core

@Suite struct LifecycleTests {
  private func at(_ seconds: Int64) -> Instant { Instant(nanoseconds: 0) + .seconds(seconds) }

  private func proxy(delay: Int64 = 0) -> Lifecycle {
    Lifecycle(drainDelay: .seconds(delay), drainTimeout: .seconds(25), listens: true)
  }

  @Test func itServesUntilASignal() {
    var life = proxy()
    #expect(life.next(now: at(1_000_000), open: 0) == .wait(until: nil))
  }

  @Test func withNothingOpenItEndsAtOnce() {
    var life = proxy()
    life.receiveStop(now: at(1))
    #expect(life.next(now: at(1), open: 0) == .closeListeners)
    #expect(life.next(now: at(1), open: 0) == .exit)
    #expect(!life.hasCut)
  }

  @Test func itWaitsForWhatIsOpenAndEndsWithTheLast() {
    var life = proxy()
    life.receiveStop(now: at(1))
    #expect(life.next(now: at(1), open: 2) == .closeListeners)
    #expect(life.next(now: at(2), open: 2) == .wait(until: at(26)))
    #expect(life.next(now: at(3), open: 0) == .exit)
  }

  @Test func theDelayGoesOnAcceptingAndComesBeforeTheTimeout() {
    var life = proxy(delay: 10)
    life.receiveStop(now: at(0))
    #expect(life.next(now: at(0), open: 0) == .wait(until: at(10)))
    #expect(life.next(now: at(10), open: 1) == .closeListeners)
    #expect(life.next(now: at(10), open: 1) == .wait(until: at(35)))
  }

  @Test func whenTimeIsUpItCutsAndEnds() {
    var life = proxy()
    life.receiveStop(now: at(0))
    #expect(life.next(now: at(0), open: 1) == .closeListeners)
    #expect(life.next(now: at(25), open: 1) == .cut(.drainTimeout))
    #expect(life.next(now: at(25), open: 1) == .wait(until: at(26)))
    #expect(life.next(now: at(25), open: 0) == .exit)
    #expect(life.hasCut)
  }

  @Test func nothingKeepsItBeyondTheCut() {
    var life = proxy()
    life.receiveStop(now: at(0))
    life.receiveStop(now: at(1))
    #expect(life.next(now: at(1), open: 1) == .cut(.secondSignal))
    #expect(life.next(now: at(2), open: 1) == .exit)
  }

  @Test func aThirdSignalChangesNothing() {
    var life = proxy()
    for _ in 0..<3 { life.receiveStop(now: at(0)) }
    #expect(life.next(now: at(0), open: 1) == .cut(.secondSignal))
    life.receiveStop(now: at(0))
    #expect(life.next(now: at(0), open: 0) == .exit)
  }

  @Test func asleepItEndsAtTheFirstSignal() {
    var life = Lifecycle(drainDelay: .seconds(9), drainTimeout: .seconds(9), listens: false)
    #expect(life.next(now: at(0), open: 0) == .wait(until: nil))
    life.receiveStop(now: at(1))
    #expect(life.next(now: at(1), open: 0) == .exit)
  }
}
