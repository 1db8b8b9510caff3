// A connection as the server knows it.
import Linux

struct Client: ~Copyable {
  enum Stage {
    /// Awaits the header, or the rest of it.
    case header
    /// Awaits a message, or the rest of it.
    case message
    /// Sends a message back that found no room at once.
    case reply
    /// Awaits the second header to begin streaming.
    case held
    case stream
    case sink
    case tally
    case greeter
    /// Awaits the end.
    case greeted
  }

  var socket: Socket
  var stage = Stage.header
  /// Of a message, or of what one call moves of a stream.
  var size = Header.length
  var run: UInt32 = 0
  var closesAfterReply = false
  /// Bytes of the header or message that are there.
  var received = 0
  /// Bytes of the message that have been sent back.
  var sent = 0
  /// Of a stream or a sink, in the pattern.
  var position = 0
  /// Holds what came in pieces, or did not go in one. Most connections never need it.
  private(set) var stash: UnsafeMutableRawPointer?

  init(_ socket: consuming Socket) { self.socket = socket }

  deinit { stash?.deallocate() }

  /// Keeps the first `received` bytes of a message, and room for the rest.
  mutating func keep(_ bytes: UnsafeMutableRawPointer) {
    guard stash == nil else { return }
    stash = .allocate(byteCount: size, alignment: 16)
    stash!.copyMemory(from: bytes, byteCount: received)
  }

  mutating func dropStash() {
    stash?.deallocate()
    stash = nil
  }
}
