import Testing

@testable import Core

@Suite struct TimersTests {
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
        let deadline = Int64.random(in: 0..<1000, using: &random)
        timers.set(key, Instant(nanoseconds: deadline))
        reference[key] = deadline
      case 2:
        timers.clear(key)
        reference[key] = nil
      case _:
        let now = Int64.random(in: 0..<300, using: &random)
        let expired = timers.popExpired(Instant(nanoseconds: now))
        let earliest = reference.values.min()
        #expect((expired != nil) == (earliest.map { $0 <= now } ?? false))
        if let expired { #expect(reference.removeValue(forKey: expired) == earliest) }
      }
      #expect(timers.next?.nanoseconds == reference.values.min())
      #expect(timers.deadline(of: key)?.nanoseconds == reference[key])
    }
  }
}
