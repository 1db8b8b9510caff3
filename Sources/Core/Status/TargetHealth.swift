// Whether the targets are well, judged by what real connections met.

public enum TargetHealth: Equatable, Sendable {
  case reached
  /// Nothing was tried in the last minute.
  case unknown
  /// Which forward, when, and why.
  case failed(forward: Int, ago: Nanoseconds, cause: Failure)

  static let memory = Nanoseconds.seconds(60)

  /// The worst of so many forwards: a failure, the first of them, then ignorance.
  public static func judge(
    forwards: Int, now: Instant, _ counts: (Int) -> ForwardCounts
  ) -> TargetHealth {
    var worst = TargetHealth.reached
    for forward in 0..<forwards {
      let counts = counts(forward)
      let success = counts.lastSuccess
      if let (failure, cause) = counts.lastFailure, now < failure + memory,
        success.map({ $0 < failure }) ?? true
      {
        return .failed(forward: forward, ago: now - failure, cause: cause)
      }
      let isRecent = success.map { now < $0 + memory } ?? false
      if !isRecent { worst = .unknown }
    }
    return worst
  }

  /// One line for people and scripts: `ok`, `unknown`, or what is wrong.
  public func line(_ forwards: [Forward]) -> [UInt8] {
    switch self {
    case .reached: return [UInt8](ControlRequest.ok)
    case .unknown: return [UInt8](ControlRequest.unknown)
    case .failed(let forward, let ago, let cause):
      return Self.failed(forwards[forward].target, cause, ago: ago)
    }
  }

  /// What is wrong, in one line. Without `ago` it was tried just now.
  @inline(never) public static func failed(_ target: Target, _ cause: Failure, ago: Nanoseconds?)
    -> [UInt8]
  {
    var text = [UInt8]("target ")
    text.append(target)
    text.append(" not reached")
    if let ago {
      text.append(" ")
      text.append(span: ago)
      text.append(" ago")
    }
    text.append(": ")
    text.append(cause.name)
    text.append(": ")
    text.append(cause.advice)
    text.append("\n")
    return text
  }
}
