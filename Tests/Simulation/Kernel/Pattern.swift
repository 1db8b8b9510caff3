// What bytes a stream is made of: the first is its number, the others tell their position. Any
// byte that is lost, doubled, swapped or another stream's shows at once.

enum Pattern {
  private static let period = 65_536
  /// Two periods, so that any stretch of one lies in one piece.
  nonisolated(unsafe) private static let table: UnsafeMutablePointer<UInt8> = {
    let table = UnsafeMutablePointer<UInt8>.allocate(capacity: 2 * period)
    var chance = Chance(seed: 1)
    for index in 0..<period {
      table[index] = UInt8(truncatingIfNeeded: chance.next())
      table[index + period] = table[index]
    }
    return table
  }()

  private static func place(_ stream: Int, _ position: Int) -> Int {
    (stream * 4_099 + position) % period
  }

  static func write(
    _ bytes: UnsafeMutableRawPointer, _ stream: Int, _ start: Int, _ count: Int
  ) {
    var done = 0
    while done < count {
      let piece = min(count - done, period)
      (bytes + done).copyMemory(from: table + place(stream, start + done), byteCount: piece)
      done += piece
    }
    if start == 0, count > 0 { bytes.storeBytes(of: UInt8(stream), as: UInt8.self) }
  }

  /// Whether these are the stream's bytes from `start` on.
  static func matches(
    _ bytes: UnsafeRawPointer, _ stream: Int, _ start: Int, _ count: Int
  ) -> Bool {
    var done = 0
    if start == 0, count > 0 {
      guard bytes.load(as: UInt8.self) == UInt8(stream) else { return false }
      done = 1
    }
    while done < count {
      let piece = min(count - done, period)
      let expected = table + place(stream, start + done)
      guard isSame(bytes + done, expected, piece) else { return false }
      done += piece
    }
    return true
  }

  private static func isSame(
    _ bytes: UnsafeRawPointer, _ expected: UnsafePointer<UInt8>, _ count: Int
  ) -> Bool {
    var index = 0
    let raw = UnsafeRawPointer(expected)
    while index + 8 <= count {
      let one = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
      if one != raw.loadUnaligned(fromByteOffset: index, as: UInt64.self) { return false }
      index += 8
    }
    while index < count {
      if bytes.load(fromByteOffset: index, as: UInt8.self) != expected[index] { return false }
      index += 1
    }
    return true
  }
}
