// The kernel's error numbers, typed, and the one place that tells a result from an error number.

/// An error number as the kernel gives it (errno(3)). The numbers are those of x86_64 and aarch64.
public struct Errno: Error, Equatable, Sendable {
  public let code: Int32

  @inlinable public init(code: Int32) { self.code = code }

  public static let notPermitted = Errno(code: 1)  // EPERM
  public static let badDescriptor = Errno(code: 9)  // EBADF
  public static let wouldBlock = Errno(code: 11)  // EAGAIN
  public static let noMemory = Errno(code: 12)  // ENOMEM
  public static let accessDenied = Errno(code: 13)  // EACCES
  public static let invalid = Errno(code: 22)  // EINVAL
  public static let systemDescriptorLimit = Errno(code: 23)  // ENFILE
  public static let descriptorLimit = Errno(code: 24)  // EMFILE
  public static let brokenPipe = Errno(code: 32)  // EPIPE
  public static let notImplemented = Errno(code: 38)  // ENOSYS
  public static let protocolError = Errno(code: 71)  // EPROTO
  public static let familyNotSupported = Errno(code: 97)  // EAFNOSUPPORT
  public static let addressInUse = Errno(code: 98)  // EADDRINUSE
  public static let addressNotAvailable = Errno(code: 99)  // EADDRNOTAVAIL
  public static let networkUnreachable = Errno(code: 101)  // ENETUNREACH
  public static let connectionAborted = Errno(code: 103)  // ECONNABORTED
  public static let connectionReset = Errno(code: 104)  // ECONNRESET
  public static let noBufferSpace = Errno(code: 105)  // ENOBUFS
  public static let alreadyConnected = Errno(code: 106)  // EISCONN
  public static let notConnected = Errno(code: 107)  // ENOTCONN
  public static let timedOut = Errno(code: 110)  // ETIMEDOUT
  public static let refused = Errno(code: 111)  // ECONNREFUSED
  public static let hostUnreachable = Errno(code: 113)  // EHOSTUNREACH
  public static let alreadyInProgress = Errno(code: 114)  // EALREADY
  public static let inProgress = Errno(code: 115)  // EINPROGRESS
}

/// The result of a call of CLinux, or its error number.
@inlinable @discardableResult
func checked(_ result: Int32) throws(Errno) -> Int32 {
  guard result >= 0 else { throw Errno(code: -result) }
  return result
}
