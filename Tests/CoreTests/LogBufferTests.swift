// The storage of a log line, and the digits in it.
import Testing

@testable import Core

struct LogBufferTests {
  @Test func piecesOfEveryLengthArriveWhole() {
    let source = (0..<300).map { UInt8($0 % 251) }
    for length in 0...source.count {
      var buffer = LogBuffer()
      var bytes: [UInt8] = []
      buffer.append(UInt8(ascii: "<"))
      source.withUnsafeBufferPointer { all in
        buffer.append(contentsOf: UnsafeBufferPointer(rebasing: all[..<length]))
      }
      buffer.append(">")
      buffer.copy(to: &bytes)
      #expect(bytes == [UInt8(ascii: "<")] + source[..<length] + [UInt8(ascii: ">")])
    }
  }

  @Test func whatIsCutIsGone() {
    var buffer = LogBuffer()
    var bytes: [UInt8] = []
    buffer.append("abcdef")
    buffer.cut(to: 2)
    buffer.append("X")
    buffer.copy(to: &bytes)
    #expect(bytes == [UInt8]("abX"))
    buffer.cut(to: 0)
    buffer.copy(to: &bytes)
    #expect(bytes.isEmpty)
  }

  @Test(arguments: 0..<200 as Range<UInt64>)
  func aTenthIsExactOnBothSidesOf32Bits(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let edges: [UInt64] = [0, 0xffff_fff0, 0x1_0000_0000, .max - 99]
    for edge in edges {
      let number = edge + UInt64.random(in: 0..<100, using: &random)
      #expect(number.tenth == number / 10)
    }
    for _ in 0..<100 {
      let number = random.next() >> UInt64.random(in: 0..<64, using: &random)
      #expect(number.tenth == number / 10)
    }
  }
}
