import Testing

@testable import Core

@Suite struct TimersTests {
  private static let tick: Int64 = 1 << 17

  /// Against a plain dictionary, whatever the order of setting, moving, clearing and expiring.
  @Test(arguments: UInt64(0)..<200)
  func theyExpireInOrderAndNoneIsLost(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    var timers = Timers()
    var reference: [UInt32: Int64] = [:]
    for _ in 0..<400 {
      let key = UInt32.random(in: 0..<40, using: &random)
      switch Int.random(in: 0..<4, using: &random) {
      case 0, 1:
        let deadline = Int64.random(in: 0..<1000, using: &random) * Self.tick
        timers.set(key, Instant(nanoseconds: deadline))
        reference[key] = deadline
      case 2:
        timers.clear(key)
        reference[key] = nil
      case _:
        let now = Int64.random(in: 0..<300, using: &random) * Self.tick
        let expired = timers.popExpired(Instant(nanoseconds: now))
        let earliest = reference.values.min()
        #expect((expired != nil) == (earliest.map { $0 <= now } ?? false))
        if let expired { #expect(reference.removeValue(forKey: expired) == earliest) }
      }
      #expect(timers.next?.nanoseconds == reference.values.min())
      #expect(timers.isSet(key) == (reference[key] != nil))
    }
  }

  @Test(arguments: [1, 2, tick - 1, tick])
  func aDeadlineIsMetAtTheNextTick(nanoseconds: Int64) {
    var timers = Timers()
    timers.set(7, Instant(nanoseconds: 5 * Self.tick + nanoseconds))
    #expect(timers.popExpired(Instant(nanoseconds: 6 * Self.tick - 1)) == nil)
    #expect(timers.popExpired(Instant(nanoseconds: 6 * Self.tick)) == 7)
  }

  @Test func neverIsLaterThanAllElse() {
    var timers = Timers()
    let last: UInt32 = 1 << 20 - 1
    timers.set(last, .never)
    timers.set(0, Instant(nanoseconds: .max / 2))
    #expect(timers.popExpired(Instant(nanoseconds: .max / 2 + Self.tick)) == 0)
    #expect(timers.popExpired(.never) == last)
  }
}
