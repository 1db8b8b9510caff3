// Deadlines of numbered things, at most one each: a binary heap that knows where everyone is, so
// that a deadline is moved or dropped in place. Reads no clock.

/// Deadlines by number. Setting, clearing and taking the earliest cost O(log n).
public struct Timers: Sendable {
  /// A heap of small entries, because every connection that moves bytes has one: the tick at which
  /// it is due in the upper 44 bits, the key in the lower 20, so that entries compare as deadlines.
  private var heap: [UInt64] = []
  /// Where in the heap a key is, plus one; zero for keys that have no deadline.
  private var places: [UInt32] = []

  private static let keyBits: UInt64 = 20
  /// A tick is 2^17 ns, 0.13 ms; 44 bits of them last for 73 years.
  private static let tickBits: UInt64 = 17
  private static let lastTick: UInt64 = 1 << 44 - 1

  public init() {}

  /// The earliest deadline; nil when there is none.
  public var next: Instant? { heap.first.map { Self.deadline(of: $0) } }

  public func isSet(_ key: UInt32) -> Bool { place(of: key) != nil }

  /// Gives `key` this deadline in place of the one it had: to the next tick, never early.
  public mutating func set(_ key: UInt32, _ deadline: Instant) {
    precondition(key < 1 << Self.keyBits, "a key beyond MAX_CONNECTIONS")
    let nanoseconds = UInt64(clamping: deadline.nanoseconds)
    let tick = min((nanoseconds + (1 << Self.tickBits - 1)) >> Self.tickBits, Self.lastTick)
    let entry = tick << Self.keyBits | UInt64(key)
    if let index = place(of: key) {
      heap[index] = entry
      settle(index)
      return
    }
    while places.count <= Int(key) { places.append(0) }
    heap.append(entry)
    places[Int(key)] = UInt32(heap.count)
    rise(heap.count - 1)
  }

  public mutating func clear(_ key: UInt32) {
    guard let index = place(of: key) else { return }
    remove(at: index)
  }

  /// Takes the earliest key whose deadline is not after `now`.
  public mutating func popExpired(_ now: Instant) -> UInt32? {
    guard let first = heap.first, Self.deadline(of: first) <= now else { return nil }
    remove(at: 0)
    return Self.key(of: first)
  }

  private static func deadline(of entry: UInt64) -> Instant {
    Instant(nanoseconds: Int64((entry >> keyBits) << tickBits))
  }

  private static func key(of entry: UInt64) -> UInt32 {
    UInt32(entry & (1 << keyBits - 1))
  }

  private func place(of key: UInt32) -> Int? {
    guard Int(key) < places.count, places[Int(key)] > 0 else { return nil }
    return Int(places[Int(key)]) - 1
  }

  private mutating func remove(at index: Int) {
    swap(index, heap.count - 1)
    places[Int(Self.key(of: heap.removeLast()))] = 0
    if index < heap.count { settle(index) }
  }

  private mutating func settle(_ index: Int) {
    rise(index)
    sink(index)
  }

  private mutating func rise(_ start: Int) {
    var index = start
    while index > 0, heap[index] < heap[(index - 1) / 2] {
      swap(index, (index - 1) / 2)
      index = (index - 1) / 2
    }
  }

  private mutating func sink(_ start: Int) {
    var index = start
    while true {
      var least = index
      for child in [2 * index + 1, 2 * index + 2]
      where child < heap.count && heap[child] < heap[least] {
        least = child
      }
      if least == index { return }
      swap(index, least)
      index = least
    }
  }

  private mutating func swap(_ first: Int, _ second: Int) {
    heap.swapAt(first, second)
    places[Int(Self.key(of: heap[first]))] = UInt32(first + 1)
    places[Int(Self.key(of: heap[second]))] = UInt32(second + 1)
  }
}
