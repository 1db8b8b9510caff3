// What the two halves say to each other, in bytes that any forwarder passes on: each connection
// opens with a header that says what the server shall do with it.
import Glibc
import Linux

/// What the server does with a connection.
enum Mode: UInt8 {
  /// Sends each message of `size` back as soon as it is whole.
  case echo = 1
  /// Streams the pattern, `size` bytes at a time, from the second header on.
  case source
  /// Counts what arrives and looks at its places in the pattern.
  case sink
  /// Answers one request of `size`, the header its beginning, with as many bytes, then closes.
  case answer
  /// Answers each further header with the tally of this run's sinks.
  case count
  /// For as long as it is open, everybody who connects is greeted unasked.
  case greet
}

/// The first bytes of a connection. The server sends them back, except in mode `answer`.
struct Header: Equatable {
  static let length = 16
  private static let magic: UInt32 = 0x4c6f_6164

  var mode: Mode
  var size: Int
  /// Tells this run's connections from those that an earlier one left behind in a forwarder.
  var run: UInt32

  init(mode: Mode, size: Int, run: UInt32) {
    (self.mode, self.size, self.run) = (mode, size, run)
  }

  /// Nil when these are not `length` bytes that `write` wrote.
  init?(at bytes: UnsafeRawPointer) {
    let words = bytes.assumingMemoryBound(to: UInt32.self)
    guard words[0] == Self.magic, words[1] <= 255, let mode = Mode(rawValue: UInt8(words[1])),
      1...Pattern.longestPiece ~= Int(words[2])
    else { return nil }
    self.init(mode: mode, size: Int(words[2]), run: words[3])
  }

  func write(to bytes: UnsafeMutableRawPointer) {
    let words = bytes.assumingMemoryBound(to: UInt32.self)
    (words[0], words[1], words[2], words[3]) = (
      Self.magic, UInt32(mode.rawValue), UInt32(size), run
    )
  }
}

/// What the sinks of a run have received, and when that was true by the server's clock, which is
/// the client's: the figure does not depend on how long the answer travels.
struct Tally {
  static let length = 24

  var nanoseconds: Int64
  var bytes: Int
  var wrong: Int

  init(nanoseconds: Int64, bytes: Int, wrong: Int) {
    (self.nanoseconds, self.bytes, self.wrong) = (nanoseconds, bytes, wrong)
  }

  init(at place: UnsafeRawPointer) {
    let words = place.assumingMemoryBound(to: Int64.self)
    self.init(nanoseconds: words[0], bytes: Int(words[1]), wrong: Int(words[2]))
  }

  func write(to place: UnsafeMutableRawPointer) {
    let words = place.assumingMemoryBound(to: Int64.self)
    (words[0], words[1], words[2]) = (nanoseconds, Int64(bytes), Int64(wrong))
  }
}

/// The bytes that all payload is made of, so that it can be told where in a stream some belong.
/// They repeat after a prime number, which no lost page or buffer is a multiple of.
struct Pattern {
  static let period = 65_521
  static let longestPiece = 1 << 20

  private let bytes: UnsafeMutableRawPointer

  init() {
    let count = Self.period + Self.longestPiece
    bytes = .allocate(byteCount: count, alignment: 64)
    var state: UInt64 = 1
    for index in 0..<Self.period {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      bytes.storeBytes(of: UInt8(state >> 56), toByteOffset: index, as: UInt8.self)
    }
    for start in stride(from: Self.period, to: count, by: Self.period) {
      (bytes + start).copyMemory(from: bytes, byteCount: min(Self.period, count - start))
    }
  }

  /// At least `longestPiece` bytes, as they stand in a stream from `position` on.
  func at(_ position: Int) -> UnsafeRawPointer {
    UnsafeRawPointer(bytes + position % Self.period)
  }

  /// Whether the bytes received at `position` of a stream are other ones. To be cheap, a long
  /// piece is looked at only where it begins and ends.
  func differs(from received: UnsafeRawPointer, count: Int, at position: Int) -> Bool {
    let looked = min(count, 64)
    let tail = count - looked
    return memcmp(received, at(position), looked) != 0
      || memcmp(received + tail, at(position + tail), looked) != 0
  }
}

/// The one message of a size that all ping-pongs send and expect: the pattern behind a stamp.
struct Message {
  let size: Int
  let bytes: UnsafeMutableRawPointer

  /// What the stamp takes, and the shortest message.
  static let shortest = 16

  init(size: Int, _ pattern: borrowing Pattern) {
    self.size = size
    bytes = .allocate(byteCount: size, alignment: 64)
    bytes.copyMemory(from: pattern.at(0), byteCount: size)
  }

  /// Makes it the message of one turn of one connection.
  func stamp(connection: Int, turn: Int) {
    bytes.storeBytes(of: connection, as: Int.self)
    bytes.storeBytes(of: turn, toByteOffset: 8, as: Int.self)
  }
}

/// A run's number, for its headers.
func newRun() -> UInt32 { UInt32(unguessableBits()) << 16 | UInt32(unguessableBits()) }
