// How tests ask a running daemon: by the commands an operator types, and by HTTP.
import Foundation

/// What a command printed and how it ended.
struct Answer {
  let ended: Ended
  let lines: [String]
  let errors: [String]
  let took: Duration

  var text: String { lines.joined(separator: "\n") }

  /// The only line; thrown when there is none, or another.
  func line() throws -> String {
    guard lines.count == 1, errors.isEmpty else { throw Failure("not one line: \(self)") }
    return lines[0]
  }

  func json() throws -> Status {
    let parsed = try JSONSerialization.jsonObject(with: Data(text.utf8))
    guard let object = parsed as? [String: Any], ended == .exit(0), errors.isEmpty else {
      throw Failure("no status: \(self)")
    }
    return Status(object: object)
  }
}

/// `sidecar status --json`, taken apart.
struct Status {
  let object: [String: Any]

  var forwards: [Status] { list("forwards") }
  var connections: [Status] { list("connections") }
  subscript(key: String) -> Int? { object[key] as? Int }
  func text(_ key: String) -> String? { object[key] as? String }
  func number(_ key: String) -> Double? { object[key] as? Double }

  private func list(_ key: String) -> [Status] {
    (object[key] as? [[String: Any]] ?? []).map { Status(object: $0) }
  }
}

/// Runs the program with these words and variables to its end.
func runSidecar(
  _ words: [String], _ environment: [String: String] = [:], wrapper: [String] = []
) throws -> Answer {
  let path = try wrapper.isEmpty ? Binary.path() : Binary.publicPath()
  defer { if !wrapper.isEmpty { unlink(path) } }
  let start = ContinuousClock.now
  let child = try ChildProcess(wrapper + [path] + words, environment: environment)
  defer { child.kill() }
  let ended = try child.waitForEnd()
  let took = ContinuousClock.now - start
  child.output.waitForEnd()
  child.errors.waitForEnd()
  return Answer(
    ended: ended, lines: child.output.lines, errors: child.errors.lines, took: took)
}

extension Sidecar {
  /// Asks with the variables that this daemon was started with, as `docker exec` does.
  func ask(_ words: String..., wrapper: [String] = []) throws -> Answer {
    try runSidecar(words, settings, wrapper: wrapper)
  }

  func status() throws -> Status { try ask("status", "--json").json() }

  /// Asks for its status until `condition` holds.
  @discardableResult
  func waitForStatus(
    _ what: String, _ condition: (Status) throws -> Bool
  ) throws -> Status {
    var last: Status?
    try eventually("\(what); the last status: \(last?.object ?? [:])") {
      last = try status()
      return try condition(last!)
    }
    return last!
  }
}

/// One answer over HTTP/1: its status line, its head and its body.
struct Page {
  let status: String
  let head: [String]
  let body: String

  /// Sends `request` as it is and reads until the server ends the connection.
  init(port: UInt16, request: String = "GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n") throws {
    let peer = try Peer(connectingTo: port)
    try peer.send(request)
    let text = String(decoding: try peer.receiveUntilEnd(), as: UTF8.self)
    guard let end = text.range(of: "\r\n\r\n") else { throw Failure("no answer: \(text)") }
    let lines = text[..<end.lowerBound].components(separatedBy: "\r\n")
    (status, head) = (lines[0], Array(lines.dropFirst()))
    body = String(text[end.upperBound...])
  }

  /// The value of the one sample whose line begins so.
  func value(_ sample: String) throws -> Double {
    let lines = body.split(separator: "\n").filter { $0.hasPrefix(sample + " ") }
    guard lines.count == 1, let value = Double(lines[0].dropFirst(sample.count + 1)) else {
      throw Failure("not one \(sample) in\n\(body)")
    }
    return value
  }
}

extension Peer {
  /// Everything up to the end; a reset is thrown.
  func receiveUntilEnd() throws -> [UInt8] {
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 64 * kibibyte)
    while true {
      let count = try checked("receive", recv(socket.descriptor, &piece, piece.count, 0))
      if count == 0 { return bytes }
      bytes += piece[..<count]
    }
  }
}

/// A known pattern of traffic on two forwards of one daemon: to a target, and to a port on which
/// nobody listens. Three connections, one probe and two failures.
struct KnownTraffic {
  let target: Target
  let nobody: ReservedPort
  let ports: (well: ReservedPort, ill: ReservedPort)

  static let toTarget = 1_000 + 2_000 + 3_000
  static let toClient = 70_000 + 140_000 + 210_000

  init() throws {
    target = try Target()
    nobody = try ReservedPort()
    ports = (try ReservedPort(), try ReservedPort())
  }

  var settings: [String: String] {
    [
      "FORWARDS": "\(ports.well.number)=127.0.0.1:\(target.port),"
        + "\(ports.ill.number)=127.0.0.1:\(nobody.number)"
    ]
  }

  /// Returns when the daemon has counted it all.
  func run(_ sidecar: Sidecar) throws {
    let stream = TestBytes(seed: 90)
    for number in 1...3 {
      let client = try Peer(connectingTo: ports.well.number)
      let upstream = try target.accept()
      try client.send(stream, count: 1_000 * number)
      try upstream.expect(stream, count: 1_000 * number)
      try upstream.send(stream, count: 70_000 * number)
      try client.expectAll(stream, count: 70_000 * number, closing: upstream)
    }
    try Peer(connectingTo: ports.well.number).close()
    for _ in 0..<2 { try Peer(connectingTo: ports.ill.number).expect(.reset) }
    try sidecar.waitForStatus("everything is counted") {
      $0.forwards[0]["accepted"] == 4 && $0.forwards[1]["accepted"] == 2
        && $0["connections_open"] == 0
    }
  }
}

extension Peer {
  /// Receives `count` bytes, ends this side first, and then `other`'s.
  fileprivate func expectAll(_ stream: TestBytes, count: Int, closing other: Peer) throws {
    try expect(stream, count: count)
    try finishSending()
    try other.expect(.closed)
    other.close()
    try expect(.closed)
    close()
  }
}
