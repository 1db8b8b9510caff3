// A connection as the crowd knows it.
import Linux

struct Member: ~Copyable {
  enum Role: Equatable {
    case pingPong
    /// Says nothing after the round trip of its header.
    case idle
    /// Receives a stream.
    case download
    /// Sends one.
    case upload
    /// Asks how much of the uploads has arrived.
    case counter

    /// Whether there is load for as long as it lives.
    var works: Bool {
      switch self {
      case .pingPong, .download, .upload: true
      case .idle, .counter: false
      }
    }

    var mode: Mode {
      switch self {
      case .pingPong, .idle: .echo
      case .download: .source
      case .upload: .sink
      case .counter: .count
      }
    }
  }

  enum Stage {
    case unborn
    /// Its header finds no room, for it is not connected yet.
    case connecting
    /// The header has to come back.
    case greeting
    case open
    /// It has ended its half, and awaits the end of the other.
    case leaving
    case gone
  }

  enum End {
    /// As it should.
    case inOrder
    case refused, reset, closed, wrong
  }

  let role: Role
  /// Which one of the crowd: its token.
  let index: Int
  var socket = Socket.none
  var stage = Stage.unborn
  /// Bytes of the answer that are there, and of the request that have been sent.
  var received = 0
  var sent = 0
  /// Of a stream, in the pattern; of a ping-pong, how often it went round.
  var position = 0
  /// The position when the measuring began.
  var noted = 0
  /// When the request was sent whose answer is on its way.
  var askedAt: Int64 = 0

  init(_ role: Role, index: Int) { (self.role, self.index) = (role, index) }

  /// When it is over: an answer, some byte of a stream that has stood still ever since the
  /// measuring began, or the end.
  var isOwedSomething: Bool {
    switch role {
    case .pingPong: askedAt != 0
    case .download: stage == .open && noted == position
    case .upload: stage == .leaving
    case .idle, .counter: false
    }
  }
}
