// The pipes of one worker, lent while bytes are in flight. Never makes more than its share of the
// quota, and never keeps one that is not empty.
import Core
import Linux
import Synchronization

struct PipePool: ~Copyable {
  private let free: UnsafeMutablePointer<Pipe>
  private var freeCount = 0
  /// Lent or free.
  private var made = 0 {
    didSet { door.pipes.store(made, ordering: .relaxed) }
  }
  private let door: WorkerDoor
  /// Whether a pipe was lent since `trim` was last asked.
  private var wasUsed = false
  private let share: PipeShare

  /// No more pipes than `share`, each made when it is first needed.
  init(share: PipeShare, door: WorkerDoor) {
    self.door = door
    self.share = share
    free = .allocate(capacity: share.count)
  }

  deinit {
    free.deinitialize(count: freeCount)
    free.deallocate()
  }

  /// An empty pipe, or none when the share or the user's quota is used up.
  mutating func lend() -> Pipe {
    wasUsed = true
    if freeCount > 0 {
      freeCount -= 1
      return (free + freeCount).move()
    }
    guard made < share.count else { return .none }
    do throws(Errno) {
      let pipe = try Pipe.ofCapacity(
        made < share.large ? PipeShare.largeBytes : PipeShare.smallBytes,
        atLeast: PipeShare.smallBytes)
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

  var hasFree: Bool { freeCount > 0 }

  /// Closes the free pipes when none was lent since the last time: idle costs nothing.
  mutating func trim() {
    if !wasUsed {
      free.deinitialize(count: freeCount)
      made -= freeCount
      freeCount = 0
    }
    wasUsed = false
  }

  /// A lent pipe was closed with what it held.
  mutating func forget() { made -= 1 }
}
