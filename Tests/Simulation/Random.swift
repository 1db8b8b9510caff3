// All chance in a schedule, from its seed.

/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators).
struct Chance {
  private var state: UInt64

  init(seed: UInt64) { state = seed &* 0x2545_f491_4f6c_dd1d &+ 0x9e37_79b9 }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
    return mixed ^ mixed >> 31
  }

  mutating func number(_ range: ClosedRange<Int>) -> Int {
    let width = UInt64(range.upperBound - range.lowerBound) &+ 1
    return range.lowerBound + Int(next() % width)
  }

  /// One in `count`.
  mutating func one(in count: Int) -> Bool { next() % UInt64(count) == 0 }

  mutating func pick<Element>(_ elements: [Element]) -> Element {
    elements[Int(next() % UInt64(elements.count))]
  }

  /// Small ones as often as large ones.
  mutating func scaled(_ range: ClosedRange<Int>) -> Int {
    let most = max(1, range.upperBound - range.lowerBound)
    let bits = number(1...(64 - most.leadingZeroBitCount))
    return min(range.upperBound, range.lowerBound + Int(next() % (1 << UInt64(bits))))
  }
}

/// Nanoseconds.
typealias Time = Int64

extension Time {
  static func milliseconds(_ count: Int) -> Time { Time(count) * 1_000_000 }
  static func microseconds(_ count: Int) -> Time { Time(count) * 1_000 }
  static func seconds(_ count: Int) -> Time { Time(count) * 1_000_000_000 }
  static let never = Time.max
}
