// A file descriptor with one owner, closed when the owner ends.
import CLinux

/// A descriptor that is closed exactly once, when its owner goes.
@frozen public struct Descriptor: ~Copyable {
  public let number: Int32

  @inlinable public init(owning number: Int32) { self.number = number }

  /// Owns nothing: the place for a descriptor that is not there yet.
  @inlinable public static var none: Descriptor { Descriptor(owning: -1) }

  /// A descriptor for nothing, to be closed when one is needed: eventfd(2).
  /// - Throws: EMFILE, ENFILE, ENOMEM.
  public static func spare() throws(Errno) -> Descriptor {
    Descriptor(owning: try checked(linux_event_counter(0)))
  }

  /// Gives the number up without closing it.
  consuming func release() -> Int32 {
    let released = number
    discard self
    return released
  }

  @inlinable deinit {
    if number >= 0 { closeDescriptor(number) }
  }
}

/// close(2). Its errors say nothing that could be acted on: Linux has released the number by then.
public func closeDescriptor(_ number: Int32) {
  _ = linux_close(number)
}

/// What a transfer of bytes came to. Waiting is not an error.
public enum Transfer: Equatable {
  case moved(Int)
  /// The peer has sent its last byte.
  case ended
  case wouldBlock
  case failed(Errno)

  /// The result of a call for which zero means the end of the stream.
  @inlinable init(_ result: Int64) {
    switch result {
    case 1...: self = .moved(Int(result))
    case 0: self = .ended
    case Int64(-Errno.wouldBlock.code): self = .wouldBlock
    case _: self = .failed(Errno(code: Int32(truncatingIfNeeded: -result)))
    }
  }
}

/// A counter that wakes whoever waits for it: eventfd(2). Any thread may signal.
public struct EventCounter: ~Copyable, Sendable {
  public let descriptor: Descriptor

  /// - Throws: EMFILE, ENFILE, ENOMEM.
  public init(blocking: Bool) throws(Errno) {
    descriptor = Descriptor(owning: try checked(linux_event_counter(blocking ? 1 : 0)))
  }

  public borrowing func signal() {
    var one: UInt64 = 1
    _ = linux_write(descriptor.number, &one, 8)
  }

  /// Takes all signals given so far; waits for one first when the counter is a blocking one.
  public borrowing func take() {
    var count: UInt64 = 0
    _ = linux_read(descriptor.number, &count, 8)
  }

  /// Waits for a signal, but no longer than that (poll(2)).
  public borrowing func take(within milliseconds: Int32) {
    if linux_wait_readable(descriptor.number, milliseconds) > 0 { take() }
  }
}
