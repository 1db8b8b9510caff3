// Randomness that a failed test can be run again with: the seed is the test's argument.

/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators).
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
    return mixed ^ mixed >> 31
  }

  /// Bytes out of `alphabet`, and now and then any byte at all.
  mutating func bytes(from alphabet: String, count: ClosedRange<Int>) -> [UInt8] {
    let letters = [UInt8](alphabet.utf8)
    return (0..<Int.random(in: count, using: &self)).map { _ in
      next() % 16 == 0
        ? UInt8.random(in: 0...255, using: &self) : letters.randomElement(using: &self)!
    }
  }
}
