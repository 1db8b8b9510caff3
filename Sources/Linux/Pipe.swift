// Pipes as buffers that splice(2) fills and drains without copying.
import CLinux

/// Both ends of a pipe, non-blocking, closed with their owner.
@frozen public struct Pipe: ~Copyable {
  public let output: Descriptor
  public let input: Descriptor

  @usableFromInline init(output: Int32, input: Int32) {
    self.output = Descriptor(owning: output)
    self.input = Descriptor(owning: input)
  }

  /// Owns nothing: the place for a pipe that is not lent.
  @inlinable public static var none: Pipe { Pipe(output: -1, input: -1) }

  /// A pipe of `bytes` if it may be (pipe-max-size, proc(5)), and of `least` otherwise.
  /// - Throws: EMFILE, ENFILE; EPERM when the user's quota of pipe pages is used up (pipe(7),
  ///   pipe-user-pages-soft), also when the kernel says so only by the pipe's small size.
  public static func ofCapacity(_ bytes: Int32, atLeast least: Int32) throws(Errno) -> Pipe {
    var (output, input) = (Int32(-1), Int32(-1))
    try checked(linux_pipe(&output, &input))
    let pipe = Pipe(output: output, input: input)
    if linux_pipe_capacity(output) < bytes, linux_set_pipe_capacity(output, bytes) < bytes,
      linux_set_pipe_capacity(output, least) < least
    {
      throw Errno.notPermitted
    }
    return pipe
  }

  /// splice(2) from `socket` into the pipe, at most `limit` bytes. `.ended` may also come from an
  /// urgent mark: only recv(2) proves the end of the stream.
  @inlinable public borrowing func fill(from socket: borrowing Socket, limit: Int) -> Transfer {
    Transfer(linux_splice(socket.number, input.number, limit))
  }

  /// splice(2) from the pipe into `socket`. `count` is at most what the pipe holds.
  @inlinable public borrowing func drain(into socket: borrowing Socket, count: Int) -> Transfer {
    Transfer(linux_splice(output.number, socket.number, count))
  }
}
