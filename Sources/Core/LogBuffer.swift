// Where a log line is put together: bytes in place, without a heap. Knows nothing of formats.

/// As many bytes as one line and one field too many, and how many of them count.
struct LogBuffer: ByteSink {
  /// A field is taken back after it turned out too long: there is room for one such.
  static let capacity = 2 * LogLine.limit

  private(set) var count = 0
  private var storage = InlineArray<2_048, UInt8>(repeating: 0)

  mutating func append(_ byte: UInt8) {
    storage[count] = byte
    count += 1
  }

  mutating func append(_ text: StaticString) {
    append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }

  mutating func append(contentsOf bytes: UnsafeBufferPointer<UInt8>) {
    precondition(bytes.count <= Self.capacity - count)
    guard let source = bytes.baseAddress else { return }
    var span = storage.mutableSpan
    let start = count
    span.withUnsafeMutableBytes { target in
      target.baseAddress!.advanced(by: start).copyShort(from: source, count: bytes.count)
    }
    count += bytes.count
  }

  /// Takes back all but the first `count` bytes.
  mutating func cut(to count: Int) { self.count = min(count, self.count) }

  /// Mutating, because for a span that only reads the compiler copies all of `storage` first.
  mutating func copy(to bytes: inout [UInt8]) {
    bytes.removeAll(keepingCapacity: true)
    var span = storage.mutableSpan
    let length = count
    span.withUnsafeMutableBytes { source in
      bytes.append(addingCapacity: length) { output in
        output.withUnsafeMutableBufferPointer { target, written in
          UnsafeMutableRawBufferPointer(target).copyMemory(
            from: UnsafeRawBufferPointer(rebasing: source[..<length]))
          written = length
        }
      }
    }
  }
}

extension UnsafeMutableRawPointer {
  /// Copies by words. A line has some fifty pieces of ten bytes; musl's memcpy(3) takes as long to
  /// start as to copy a hundred, and `update(from:count:)` built for size is a call for each byte.
  fileprivate func copyShort(from source: UnsafeRawPointer, count: Int) {
    var offset = 0
    while offset &+ 8 <= count {
      let word = source.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
      storeBytes(of: word, toByteOffset: offset, as: UInt64.self)
      offset &+= 8
    }
    while offset < count {
      let byte = source.load(fromByteOffset: offset, as: UInt8.self)
      storeBytes(of: byte, toByteOffset: offset, as: UInt8.self)
      offset &+= 1
    }
  }
}
