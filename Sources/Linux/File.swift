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

/// When a file was last changed (stat(2), st_mtim), in nanoseconds since 1970; nil when there is
/// none.
public func modificationTime(_ path: [UInt8]) -> Int64? {
  let time = withCString(path) { linux_modification_nanoseconds($0) }
  return time >= 0 ? time : nil
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
