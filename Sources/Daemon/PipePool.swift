// The pipes of one worker, lent while bytes are in flight. Never makes more than its share of the quota,
// and never keeps one that is not empty.
import Linux

struct PipePool: ~Copyable {
  private let free: UnsafeMutablePointer<Pipe>
  private var freeCount = 0
  private var made = 0
  private let limit: Int
  private let capacity: Int32

  /// At most `limit` pipes of `capacity` bytes, each made when it is first needed.
  init(limit: Int, capacity: Int32) {
    self.limit = limit
    self.capacity = capacity
    free = .allocate(capacity: limit)
  }

  deinit {
    free.deinitialize(count: freeCount)
    free.deallocate()
  }

  /// An empty pipe, of none when the share or the user's quota is used up.
  mutating func lend() -> Pipe {
    if freeCount > 0 {
      freeCount -= 1
      return (free + freeCount).move()
    }
    guard made < limit else { return .none }
    do throws(Errno) {
      let pipe = try Pipe.ofCapacity(capacity)
      made += 1
      return pipe
    } catch {
      return .none
    }
  }

  /// Takes back an empty pipe.
  mutating func takeBack(_ pipe: consuming Pipe) {
    (free + freeCount).initialize(to: pipe)
    freeCount += 1
  }

  /// A lent pipe was closed with what it held.
  mutating func forget() { made -= 1 }
}
