// The kernel's error numbers, typed.
import CLinux

/// An error number as the kernel gives it (errno(3)).
public struct Errno: Error, Equatable, Sendable {
  public var code: Int32
  @inlinable public init(code: Int32) { self.code = code }
}
