// As much of HTTP/1.1 as a scraper needs (RFC 9112): the request line of a GET, read from bytes
// that may come slowly or never end.

public enum HTTPRequest {
  public enum Verdict: Equatable, Sendable {
    /// Not all of it is there yet.
    case incomplete
    case metrics(withBody: Bool)
    case notFound
    case notAllowed
    case bad
    /// Longer than anybody's real request.
    case tooLong
  }

  /// Prometheus sends less than 500 bytes.
  public static let maxBytes = 4_096

  /// What the bytes ask for that have come so far.
  public static func judge(_ received: [UInt8]) -> Verdict {
    guard received.count <= maxBytes else { return .tooLong }
    guard hasEnded(received) else { return .incomplete }
    let line = received.prefix { $0 != UInt8(ascii: "\r") && $0 != UInt8(ascii: "\n") }
    let space = UInt8(ascii: " ")
    var version = line
    guard let method = nextPart(&version, before: space),
      let target = nextPart(&version, before: space),
      version.starts(with: [UInt8]("HTTP/1.")), !version.contains(space)
    else { return .bad }
    let isHead = method.equals("HEAD")
    guard isHead || method.equals("GET") else { return .notAllowed }
    let path = target.prefix { $0 != UInt8(ascii: "?") }
    return path.equals("/metrics") ? .metrics(withBody: !isHead) : .notFound
  }

  /// An empty line ends the head, with or without the carriage returns.
  private static func hasEnded(_ received: [UInt8]) -> Bool {
    var lineIsEmpty = false
    for byte in received {
      if byte == UInt8(ascii: "\n") {
        if lineIsEmpty { return true }
        lineIsEmpty = true
      } else if byte != UInt8(ascii: "\r") {
        lineIsEmpty = false
      }
    }
    return false
  }

  /// The whole answer. The connection ends with it.
  public static func response(to verdict: Verdict, page: [UInt8]) -> [UInt8] {
    switch verdict {
    case .metrics(let withBody):
      return response("200 OK", "text/plain; version=0.0.4; charset=utf-8", page, withBody)
    case .notFound: return plain("404 Not Found", "The metrics are at /metrics.\n")
    case .notAllowed: return plain("405 Method Not Allowed\r\nAllow: GET, HEAD", "GET only.\n")
    case .bad, .incomplete: return plain("400 Bad Request", "This is no HTTP request.\n")
    case .tooLong: return plain("431 Request Header Fields Too Large", "Too long.\n")
    }
  }

  private static func plain(_ status: StaticString, _ text: StaticString) -> [UInt8] {
    response(status, "text/plain", [UInt8](text), true)
  }

  private static func response(
    _ status: StaticString, _ type: StaticString, _ body: [UInt8], _ withBody: Bool
  ) -> [UInt8] {
    var bytes = [UInt8]("HTTP/1.1 ")
    bytes.append(status)
    bytes.append("\r\nContent-Type: ")
    bytes.append(type)
    bytes.append("\r\nContent-Length: ")
    bytes.append(decimal: UInt64(body.count))
    bytes.append("\r\nConnection: close\r\n\r\n")
    if withBody { bytes += body }
    return bytes
  }
}
