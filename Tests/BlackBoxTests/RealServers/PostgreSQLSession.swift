// A session with PostgreSQL as a pool keeps it, spoken byte by byte: unlike any client program it
// tells an orderly end of its connection from a reset. Of the protocol it knows what it needs
// (PostgreSQL's documentation, "Message Formats").
import Foundation

final class PostgreSQLSession: Sendable {
  let peer: Peer

  init(at port: UInt16) throws {
    peer = try Peer(connectingTo: port)
    var startup = Self.number(196_608)  // protocol 3.0
    for word in ["user", "tester", "database", "postgres", ""] { startup += word.utf8 + [0] }
    try peer.send(Self.number(startup.count + 4) + startup)
    _ = try receiveUntilReady()
  }

  /// Which of the servers it is at.
  func server() throws -> String {
    let query = [UInt8]("show cluster_name".utf8) + [0]
    try peer.send([UInt8(ascii: "Q")] + Self.number(query.count + 4) + query)
    guard let row = try receiveUntilReady() else { throw Failure("no answer") }
    return row
  }

  /// The first column of the last row, if there was any.
  private func receiveUntilReady() throws -> String? {
    var row: String?
    while true {
      let head = try peer.receive(exactly: 5)
      let length = head[1...].reduce(0) { $0 << 8 | Int($1) } - 4
      let body = length > 0 ? try peer.receive(exactly: length) : []
      switch head[0] {
      case UInt8(ascii: "D"): row = String(decoding: body.dropFirst(6), as: UTF8.self)
      case UInt8(ascii: "E"): throw Failure(String(decoding: body, as: UTF8.self))
      case UInt8(ascii: "Z"): return row
      case _: break
      }
    }
  }

  private static func number(_ value: Int) -> [UInt8] {
    [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
  }
}
