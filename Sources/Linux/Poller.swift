// epoll(7): which descriptors may have something to do.
import CLinux

/// What the kernel says of a descriptor. A hint: only a call's result changes state.
public struct Readiness: Equatable, Sendable {
  public var bits: UInt32

  @inlinable public init(bits: UInt32) { self.bits = bits }

  public static let readable = Readiness(bits: UInt32(LINUX_READABLE))
  public static let writable = Readiness(bits: UInt32(LINUX_WRITABLE))

  public var isNothing: Bool { bits == 0 }

  public mutating func merge(_ other: Readiness) { bits |= other.bits }

  @inlinable public var isReadable: Bool { bits & UInt32(LINUX_READABLE) != 0 }
  @inlinable public var isWritable: Bool { bits & UInt32(LINUX_WRITABLE) != 0 }
  /// EPOLLPRI: an urgent byte is in the stream.
  @inlinable public var isUrgent: Bool { bits & UInt32(LINUX_URGENT) != 0 }
  /// EPOLLRDHUP or EPOLLHUP: the peer has sent its last byte, or is gone.
  @inlinable public var hasEnded: Bool {
    bits & UInt32(LINUX_PEER_ENDED | LINUX_HANG_UP) != 0
  }
  @inlinable public var hasHungUp: Bool { bits & UInt32(LINUX_HANG_UP) != 0 }
  @inlinable public var hasError: Bool { bits & UInt32(LINUX_ERROR) != 0 }
}

/// An event as the poller reports it, with the token its descriptor was added under.
public struct Event {
  public let token: UInt64
  public let readiness: Readiness
}

/// An epoll instance and the room for the events of one wait.
public struct Poller: ~Copyable, @unchecked Sendable {
  private let descriptor: Descriptor
  private let events: UnsafeMutablePointer<linux_event>

  /// - Throws: EMFILE, ENFILE, ENOMEM.
  public init() throws(Errno) {
    descriptor = Descriptor(owning: try checked(linux_poller()))
    events = .allocate(capacity: Int(LINUX_EVENTS_AT_ONCE))
  }

  deinit { events.deallocate() }

  /// The number under which other threads add to this poller; epoll_ctl(2) is safe to call so.
  public var number: Int32 { descriptor.number }

  /// Waits until something is ready or `milliseconds` have passed; for ever when negative.
  /// The events are read by `event(_:)` until the next wait.
  public borrowing func wait(milliseconds: Int32) -> Int {
    // EBADF and EINVAL, the only errors left, would be mistakes of this program.
    let count = linux_poller_wait(descriptor.number, events, milliseconds)
    precondition(count >= 0, "epoll_wait failed")
    return Int(count)
  }

  @inlinable public borrowing func event(_ index: Int) -> Event { read(index) }

  @usableFromInline borrowing func read(_ index: Int) -> Event {
    Event(token: events[index].token, readiness: Readiness(bits: events[index].readiness))
  }
}

/// What a descriptor is watched for.
public enum Interest {
  /// Readable, for as long as it is.
  case reading
  /// As `reading`, but one of the waiting pollers is woken, not all (EPOLLEXCLUSIVE).
  case accepting
  /// Each change of what there is to receive, told once (EPOLLET): a connection for as long as it
  /// takes what it is sent.
  case input
  /// `input`, and that it takes bytes again.
  case changes

  var bits: UInt32 {
    switch self {
    case .reading: UInt32(LINUX_READABLE)
    case .accepting: UInt32(LINUX_READABLE) | UInt32(LINUX_EXCLUSIVE)
    case .input:
      LINUX_EDGE_TRIGGERED | UInt32(LINUX_READABLE | LINUX_URGENT | LINUX_PEER_ENDED)
    case .changes: Interest.input.bits | UInt32(LINUX_WRITABLE)
    }
  }
}

/// epoll_ctl(2), EPOLL_CTL_ADD, by the poller's number, so that any thread may hand a descriptor
/// over.
/// - Throws: ENOMEM, ENOSPC (/proc/sys/fs/epoll/max_user_watches).
public func watch(
  _ descriptor: Int32, with poller: Int32, for interest: Interest, token: UInt64
) throws(Errno) {
  try checked(linux_poller_add(poller, descriptor, interest.bits, token))
}

/// epoll_ctl(2), EPOLL_CTL_MOD: what is ready now is told again, under the new token.
public func rewatch(
  _ descriptor: Int32, with poller: Int32, for interest: Interest, token: UInt64
) throws(Errno) {
  try checked(linux_poller_change(poller, descriptor, interest.bits, token))
}

/// epoll_ctl(2), EPOLL_CTL_DEL. Closing a descriptor does the same.
public func unwatch(_ descriptor: Int32, with poller: Int32) {
  _ = linux_poller_remove(poller, descriptor)
}
