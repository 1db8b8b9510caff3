// A name server that knows one name. What it is asked for beyond that does not exist; or it says
// nothing at all.
import Foundation

final class TinyNameServer: Sendable {
  /// Variables that make a daemon ask this server and no other.
  let settings: [String: String]
  private let socket: Int32
  private let directory: ScratchDirectory

  /// Knows `name` as 127.0.0.1 with a time to live of `ttl` seconds; nil: it never answers.
  init(knowing name: String?, ttl: UInt8 = 60) throws {
    socket = Int32(try checked("socket", Glibc.socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)))
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let descriptor = socket
    try withUnsafeMutableBytes(of: &address) {
      let raw = $0.baseAddress!.assumingMemoryBound(to: sockaddr.self)
      try checked("bind", bind(descriptor, raw, length))
      try checked("getsockname", getsockname(descriptor, raw, &length))
    }
    directory = try ScratchDirectory()
    try "nameserver 127.0.0.1\n".write(
      toFile: directory.path("resolv.conf"), atomically: true, encoding: .utf8)
    chmod(directory.root, 0o755)
    settings = [
      "SIDECAR_RESOLV_CONF": directory.path("resolv.conf"),
      "SIDECAR_DNS_PORT": String(UInt16(bigEndian: address.sin_port)),
    ]
    guard let name else { return }
    var known: [UInt8] = []
    for label in name.split(separator: ".") { known += [UInt8(label.utf8.count)] + label.utf8 }
    known.append(0)
    let question = known
    Thread { Self.answer(descriptor, question, ttl) }.start()
  }

  /// Its thread ends when receiving fails.
  deinit {
    shutdown(socket, Int32(SHUT_RDWR))
    close(socket)
  }

  /// RFC 1035, section 4.1: a header of 12 bytes, then one question.
  private static func answer(_ socket: Int32, _ known: [UInt8], _ ttl: UInt8) {
    var message = [UInt8](repeating: 0, count: 1_500)
    while true {
      var client = sockaddr_in()
      var length = socklen_t(MemoryLayout<sockaddr_in>.size)
      let count = withUnsafeMutableBytes(of: &client) {
        recvfrom(
          socket, &message, message.count, 0,
          $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), &length)
      }
      guard count > 16, let end = message[12..<count].firstIndex(of: 0), end + 5 <= count
      else {
        if count <= 0 { return }
        continue
      }
      let isKnown = Array(message[12...end]) == known
      let isAddress = message[end + 2] == 1
      var reply = Array(message[..<2]) + [0x81, isKnown ? 0x80 : 0x83, 0, 1]
      reply += [0, isKnown && isAddress ? 1 : 0, 0, 0, 0, 0] + message[12..<end + 5]
      if isKnown && isAddress {
        reply += [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, ttl, 0, 4, 127, 0, 0, 1]
      }
      _ = withUnsafeBytes(of: &client) {
        sendto(
          socket, reply, reply.count, 0,
          $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), length)
      }
    }
  }
}
