// A non-blocking TCP socket and what is done with it once it is connected. How it comes to be:
// SocketSetup.swift. Must not decide anything.
import CLinux

/// An IP address (IPv4 in mapped form) and a port, as the calls take it.
public struct SocketAddress: Equatable, Sendable {
  public var high: UInt64
  public var low: UInt64
  public var port: UInt16

  @inlinable public init(high: UInt64, low: UInt64, port: UInt16) {
    self.high = high
    self.low = low
    self.port = port
  }

  @inlinable public var isIPv4: Bool { high == 0 && low >> 32 == 0xffff }

  init(_ raw: linux_address) { self.init(high: raw.high, low: raw.low, port: raw.port) }

  var raw: linux_address { linux_address(high: high, low: low, port: port) }
}

/// A TCP socket, non-blocking, closed with its owner.
@frozen public struct Socket: ~Copyable {
  public let descriptor: Descriptor

  @inlinable public init(owning number: Int32) { descriptor = Descriptor(owning: number) }

  @inlinable public var number: Int32 { descriptor.number }

  /// Leaves nothing behind.
  public mutating func take() -> Socket {
    var taken = Socket(owning: -1)
    swap(&taken, &self)
    return taken
  }

  /// Closes both, with one call if their numbers are neighbours (close_range(2)).
  public static func close(_ one: consuming Socket, _ other: consuming Socket) {
    // Where one owns nothing, the end of the other closes it.
    guard one.number >= 0 && other.number >= 0 else { return }
    linux_close_both(one.descriptor.release(), other.descriptor.release())
  }

  /// recv(2) into `buffer`. A short result on a stream socket means that nothing more is there yet,
  /// unless the stream ends or an urgent mark lies behind it (epoll(7), tcp(7)).
  @inlinable public borrowing func receive(into buffer: UnsafeMutableRawPointer, limit: Int)
    -> Transfer
  {
    Transfer(linux_receive(number, buffer, limit))
  }

  /// recv(2), MSG_PEEK, of one byte: whether the peer has sent anything, or ended, or is gone.
  public borrowing func peek() -> Transfer {
    var byte: UInt8 = 0
    return Transfer(linux_peek(number, &byte, 1))
  }

  /// send(2), MSG_NOSIGNAL. `count` is above zero; a short result means that the socket is full.
  /// When `moreFollows` (MSG_MORE), a segment that is not full waits for what is sent next, be it
  /// bytes or the end; for 200 ms if nothing is.
  @inlinable public borrowing func send(
    _ bytes: UnsafeRawPointer, count: Int, moreFollows: Bool = false
  ) -> Transfer {
    Transfer(linux_send(number, bytes, count, moreFollows ? 1 : 0))
  }

  /// shutdown(2), SHUT_WR: the peer reads the end of the stream after the last byte.
  /// - Throws: ENOTCONN when the connection is gone.
  public borrowing func endSending() throws(Errno) {
    try checked(linux_shutdown_sending(number))
  }

  /// SO_LINGER with a time of zero (socket(7)): closing sends a reset and drops what is unsent.
  public borrowing func resetOnClose() {
    _ = linux_reset_on_close(number)
  }

  /// SO_ERROR: takes the pending error; nil when there is none.
  public borrowing func takeError() -> Errno? {
    let code = linux_take_error(number)
    return code == 0 ? nil : Errno(code: code < 0 ? -code : code)
  }

  /// SIOCOUTQ (tcp(7)): bytes that the peer has not acknowledged, the FIN counted as one.
  public borrowing func unacknowledgedBytes() -> Int {
    max(0, Int(linux_unacknowledged(number)))
  }

  /// getsockname(2).
  public borrowing func localAddress() throws(Errno) -> SocketAddress {
    var raw = linux_address()
    try checked(linux_local_address(number, &raw))
    return SocketAddress(raw)
  }

  /// The sending half by TCP_INFO; nil when the connection is gone.
  public borrowing func sendState() -> SendState? {
    var raw = linux_send_state()
    guard linux_send_state(number, &raw) == 0 else { return nil }
    return SendState(
      segmentsInFlight: Int(raw.segments_in_flight),
      unsentBytes: Int(raw.unsent_bytes),
      probesUnanswered: Int(raw.probes_unanswered),
      millisecondsSinceAcknowledgement: Int64(raw.milliseconds_since_acknowledgement),
      windowBytes: raw.window_known != 0 ? Int(raw.window_bytes) : nil)
  }
}

/// What the kernel knows of the bytes it still has to send (tcp(7), TCP_INFO).
public struct SendState: Equatable, Sendable {
  public var segmentsInFlight: Int
  public var unsentBytes: Int
  public var probesUnanswered: Int
  public var millisecondsSinceAcknowledgement: Int64
  /// Nil before Linux 5.4.
  public var windowBytes: Int?
}
