// What may be asked over the control socket: a word and a line break. All of it only reads.

public enum ControlRequest: Sendable {
  /// Is the process up?
  case health
  /// Was the target reached when it was last tried?
  case target
  case status
  case statusJSON

  public static let maxBytes = 32

  public var line: StaticString {
    switch self {
    case .health: "health\n"
    case .target: "target\n"
    case .status: "status\n"
    case .statusJSON: "status-json\n"
    }
  }

  /// Nil for anything else.
  public init?(_ line: ArraySlice<UInt8>) {
    for request in [ControlRequest.health, .target, .status, .statusJSON]
    where line.equals(request.line) {
      self = request
      return
    }
    return nil
  }

  /// The abstract name under which the process that listens on `port` can be asked.
  public static func socketName(port: UInt16) -> [UInt8] {
    var name = [UInt8]("sidecar-")
    name.append(decimal: UInt64(port))
    return name
  }

  /// The first line of every answer but a status.
  public static let ok: StaticString = "ok\n"
  /// No connection was tried lately: nobody knows.
  public static let unknown: StaticString = "unknown\n"
}
