// Lines on their way from one thread to the log writer: a ring with one producer and one consumer.
// Never waits; what finds no room is counted.
import Synchronization

/// A bounded queue of bytes, written by one thread and read by another.
final class LogRing: @unchecked Sendable {
  /// Some hundred lines: a second of stalled output at a busy rate; a lost line is counted and
  /// said.
  static let capacity = 64 * 1024

  private let storage = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 8)
  // Bytes ever written and ever read; only the producer moves `head`, only the consumer `tail`.
  private let head = Atomic<Int>(0)
  private let tail = Atomic<Int>(0)
  private let lost = Atomic<UInt64>(0)

  // There for as long as the process.
  deinit { storage.deallocate() }

  /// Queues one whole line, or none of it.
  func append(_ line: [UInt8]) {
    let start = head.load(ordering: .relaxed)
    guard start - tail.load(ordering: .acquiring) + line.count <= Self.capacity else {
      lost.add(1, ordering: .relaxed)
      return
    }
    line.withUnsafeBytes { bytes in
      let offset = start % Self.capacity
      let first = min(bytes.count, Self.capacity - offset)
      (storage + offset).copyMemory(from: bytes.baseAddress!, byteCount: first)
      if first < bytes.count {
        storage.copyMemory(from: bytes.baseAddress! + first, byteCount: bytes.count - first)
      }
    }
    head.store(start + line.count, ordering: .sequentiallyConsistent)
  }

  var isEmpty: Bool { end == tail.load(ordering: .relaxed) }

  var isHalfFull: Bool { end - tail.load(ordering: .relaxed) > Self.capacity / 2 }

  /// How far the producer has come.
  var end: Int { head.load(ordering: .sequentiallyConsistent) }

  /// What lies in one piece before `end`, nil when nothing does; `remove` takes it away once it is
  /// written.
  func front(before end: Int) -> UnsafeRawBufferPointer? {
    let start = tail.load(ordering: .relaxed)
    guard start < end else { return nil }
    let offset = start % Self.capacity
    return UnsafeRawBufferPointer(
      start: storage + offset, count: min(end - start, Self.capacity - offset))
  }

  func remove(_ count: Int) {
    tail.store(tail.load(ordering: .relaxed) + count, ordering: .releasing)
  }

  /// Takes the count of lines that found no room.
  func takeLost() -> UInt64 { lost.exchange(0, ordering: .relaxed) }
}
