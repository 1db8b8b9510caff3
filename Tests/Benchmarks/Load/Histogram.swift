// Latencies in a bounded number of counters: 128 to each power of two, so that a value is known
// to 0.4 %. Recording neither allocates nor depends on how many there are.

struct Histogram: ~Copyable {
  /// Longer ones count as this long: 18 minutes.
  private static let longest: UInt64 = (1 << 40) - 1
  private static let perOctave: UInt64 = 128
  private static let buckets = 35 * 128

  private let counts: UnsafeMutablePointer<UInt32>
  private var total = 0
  private(set) var maximum: UInt64 = 0

  init() {
    counts = .allocate(capacity: Self.buckets)
    counts.initialize(repeating: 0, count: Self.buckets)
  }

  deinit { counts.deallocate() }

  mutating func record(nanoseconds: Int64) {
    let value = min(UInt64(max(0, nanoseconds)), Self.longest)
    counts[Self.bucket(of: value)] += 1
    total += 1
    maximum = max(maximum, value)
  }

  mutating func clear() {
    counts.update(repeating: 0, count: Self.buckets)
    (total, maximum) = (0, 0)
  }

  var isEmpty: Bool { total == 0 }

  /// In nanoseconds, the value that `share` of the recorded ones do not exceed.
  func percentile(_ share: Double) -> Double {
    let rank = max(1, Int((share * Double(total)).rounded(.up)))
    var seen = 0
    for index in 0..<Self.buckets {
      seen += Int(counts[index])
      if seen >= rank { return min(Self.middle(of: index), Double(maximum)) }
    }
    return Double(maximum)
  }

  private static func shift(of value: UInt64) -> UInt64 {
    value < perOctave ? 0 : UInt64(63 - value.leadingZeroBitCount) - 7
  }

  private static func bucket(of value: UInt64) -> Int {
    let shift = shift(of: value)
    // A bucket's value is 0..<128 in the first row, of the exact ones, and 128..<256 in the others.
    return Int(shift * perOctave + value >> shift)
  }

  private static func middle(of index: Int) -> Double {
    let index = UInt64(index)
    let shift = index < 2 * perOctave ? 0 : index / perOctave - 1
    let lowest = (index - shift * perOctave) << shift
    return Double(lowest) + Double((1 << shift) - 1) / 2
  }
}
