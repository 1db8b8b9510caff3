// Small local files, read whole, and output that may block.
import CLinux

/// The bytes of a small local file, at most `limit` of them; nil when it cannot be read.
public func readFile(_ path: [UInt8], limit: Int) -> [UInt8]? {
  let number = withCString(path) { linux_open_to_read($0) }
  guard number >= 0 else { return nil }
  let file = Descriptor(owning: number)
  var bytes: [UInt8] = []
  while bytes.count < limit {
    var count: Int64 = 0
    let piece = [UInt8](unsafeUninitializedCapacity: min(4096, limit - bytes.count)) {
      buffer, filled in
      count = linux_read(file.number, buffer.baseAddress, buffer.count)
      filled = max(0, Int(count))
    }
    guard count >= 0 else { return nil }
    if count == 0 { break }
    bytes += piece
  }
  return bytes
}

/// What tells one version of a file from the next (stat(2)). Its time alone does not: it moves in
/// steps of some milliseconds.
public struct FileStamp: Equatable, Sendable {
  /// Nanoseconds since 1970.
  public var modified: Int64
  public var bytes: Int64
  public var inode: UInt64

  /// The stamp of a file that is not there.
  public static let missing = FileStamp(modified: .min, bytes: 0, inode: 0)

  /// `missing` when the file is not there, or cannot be asked about.
  public init(of path: [UInt8]) {
    var raw = linux_file_stamp()
    let result = withCString(path) { linux_file_stamp($0, &raw) }
    self = .missing
    guard result == 0 else { return }
    (modified, bytes, inode) = (raw.modified_nanoseconds, raw.size, raw.inode)
  }

  private init(modified: Int64, bytes: Int64, inode: UInt64) {
    self.modified = modified
    self.bytes = bytes
    self.inode = inode
  }
}

/// write(2), all of it, waiting as long as the reader takes.
/// - Throws: EPIPE, EBADF, EIO, ENOSPC: the output is gone, or takes nothing.
public func writeAll(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) throws(Errno) {
  var rest = bytes
  while !rest.isEmpty {
    let count = linux_write(descriptor, rest.baseAddress, rest.count)
    if count >= 0 {
      rest = UnsafeRawBufferPointer(rebasing: rest[Int(count)...])
    } else if count == Int64(-Errno.wouldBlock.code) {
      // Somebody who shares the description made it non-blocking.
      try checked(linux_wait_writable(descriptor))
    } else {
      throw Errno(code: Int32(-count))
    }
  }
}

/// `writeAll` for the few lines written before the log is there; an error leaves nobody to tell.
public func write(_ bytes: [UInt8], to descriptor: Int32) {
  bytes.withUnsafeBytes { raw in
    do throws(Errno) { try writeAll(raw, to: descriptor) } catch {}
  }
}

private func withCString<Result>(_ bytes: [UInt8], _ body: (UnsafePointer<CChar>) -> Result)
  -> Result
{
  (bytes + [0]).withUnsafeBufferPointer { buffer in
    buffer.baseAddress!.withMemoryRebound(to: CChar.self, capacity: buffer.count) { body($0) }
  }
}
