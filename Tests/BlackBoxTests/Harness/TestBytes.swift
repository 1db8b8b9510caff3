// The bytes that tests send: random, yet known at every position, so that the receiver can tell not
// only that a byte is wrong but where, without anybody holding the whole stream.
import Foundation

/// An endless stream of bytes; another seed gives another stream.
///
/// All streams are read from one random table in a circle. Its length is a prime, so a block that
/// is lost, doubled or displaced never lands on equal bytes: no buffer, pipe or segment has that
/// size.
struct TestBytes: Sendable {
  private static let period = 1_048_573
  /// The longest piece that is handed out or compared in one go.
  static let pieceSize = 256 * 1024

  private static let table: [UInt8] = {
    var state: UInt64 = 0x9e37_79b9_7f4a_7c15
    var bytes = [UInt8](repeating: 0, count: period + pieceSize)
    bytes.withUnsafeMutableBytes { raw in
      for offset in stride(from: 0, to: period - 7, by: 8) {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        let mixed = (state ^ (state >> 29)) &* 0xbf58_476d_1ce4_e5b9
        raw.storeBytes(of: mixed ^ (mixed >> 32), toByteOffset: offset, as: UInt64.self)
      }
      let (start, end) = (raw.baseAddress!, raw.baseAddress! + period)
      end.copyMemory(from: start, byteCount: pieceSize)
    }
    return bytes
  }()

  private let offset: Int

  init(seed: UInt64) { offset = Int((seed &* 0x9e37_79b9_7f4a_7c15) % UInt64(Self.period)) }

  /// Hands `body` the bytes from `position` on: `count` of them, or one piece if that is less.
  func withPiece<R>(
    at position: Int, count: Int, _ body: (UnsafeRawBufferPointer) throws -> R
  ) rethrows -> R {
    let start = (offset + position) % Self.period
    return try Self.table.withUnsafeBytes { table in
      try body(UnsafeRawBufferPointer(rebasing: table[start..<start + min(count, Self.pieceSize)]))
    }
  }

  /// Throws at the first byte of `received` that is not the one at its position in the stream.
  func check(_ received: UnsafeRawBufferPointer, at position: Int) throws {
    var done = 0
    while done < received.count {
      done += try withPiece(at: position + done, count: received.count - done) { expected in
        let piece = received.baseAddress! + done
        if memcmp(piece, expected.baseAddress!, expected.count) != 0 {
          let wrong = (0..<expected.count).first {
            piece.load(fromByteOffset: $0, as: UInt8.self) != expected[$0]
          }
          throw Failure("wrong byte at position \(position + done + wrong!)")
        }
        return expected.count
      }
    }
  }
}

let kibibyte = 1024
let mebibyte = 1024 * 1024
