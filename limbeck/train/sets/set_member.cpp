#include "limbeck/train/sets/set_member.h"

#include "limbeck/train/sets/model_member.h"

namespace limbeck::train {

MemberRef::MemberRef(const Model& model) : member_(std::make_shared<ModelMember>(model)) {}

}  // namespace limbeck::train
