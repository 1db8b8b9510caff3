// Deadlines of numbered things, at most one each: a binary heap that knows where everyone is, so
// that a deadline is moved or dropped in place. Reads no clock.

/// Deadlines by number. Setting, clearing and taking the earliest cost O(log n).
public struct Timers: Sendable {
  private struct Entry {
    var deadline: Instant
    var key: UInt32
  }

  private var heap: [Entry] = []
  /// Where in the heap a key is, plus one; zero for keys that have no deadline.
  private var places: [UInt32] = []

  public init() {}

  /// The earliest deadline; nil when there is none.
  public var next: Instant? { heap.first?.deadline }

  public func deadline(of key: UInt32) -> Instant? {
    guard let index = place(of: key) else { return nil }
    return heap[index].deadline
  }

  /// Gives `key` this deadline in place of the one it had.
  public mutating func set(_ key: UInt32, _ deadline: Instant) {
    if let index = place(of: key) {
      heap[index].deadline = deadline
      settle(index)
      return
    }
    while places.count <= Int(key) { places.append(0) }
    heap.append(Entry(deadline: deadline, key: key))
    places[Int(key)] = UInt32(heap.count)
    rise(heap.count - 1)
  }

  public mutating func clear(_ key: UInt32) {
    guard let index = place(of: key) else { return }
    remove(at: index)
  }

  /// Takes the earliest key whose deadline is not after `now`.
  public mutating func popExpired(_ now: Instant) -> UInt32? {
    guard let first = heap.first, first.deadline <= now else { return nil }
    remove(at: 0)
    return first.key
  }

  private func place(of key: UInt32) -> Int? {
    guard Int(key) < places.count, places[Int(key)] > 0 else { return nil }
    return Int(places[Int(key)]) - 1
  }

  private mutating func remove(at index: Int) {
    swap(index, heap.count - 1)
    places[Int(heap.removeLast().key)] = 0
    if index < heap.count { settle(index) }
  }

  private mutating func settle(_ index: Int) {
    rise(index)
    sink(index)
  }

  private mutating func rise(_ start: Int) {
    var index = start
    while index > 0, heap[index].deadline < heap[(index - 1) / 2].deadline {
      swap(index, (index - 1) / 2)
      index = (index - 1) / 2
    }
  }

  private mutating func sink(_ start: Int) {
    var index = start
    while true {
      var least = index
      for child in [2 * index + 1, 2 * index + 2]
      where child < heap.count && heap[child].deadline < heap[least].deadline {
        least = child
      }
      if least == index { return }
      swap(index, least)
      index = least
    }
  }

  private mutating func swap(_ first: Int, _ second: Int) {
    heap.swapAt(first, second)
    places[Int(heap[first].key)] = UInt32(first + 1)
    places[Int(heap[second].key)] = UInt32(second + 1)
  }
}
